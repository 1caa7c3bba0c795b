/* An organiser cancels an event for good: its queue is told by the next drains, its bookings by the task.
   outcome: 'started', 'no_event', 'already'; 'archived': its bookings are in the archive, some at least,
   and would not be given back. p_scope: the caller's organisation, null for all. */
create or replace function start_cancellation(
    p_event bigint, p_scope bigint, p_reason text, p_with_fees boolean)
returns text language plpgsql as $$
declare
    found_in text;
    archived boolean;
begin
    select state, archive_month is not null into found_in, archived from events
    where id = p_event and (p_scope is null or organisation_id = p_scope) for update;
    if found_in is null then
        return 'no_event';
    elsif found_in = 'cancelled' then
        return 'already';
    elsif archived then
        return 'archived';
    end if;
    update events set state = 'cancelled' where id = p_event and state = found_in;
    insert into event_cancellations (event_id, reason, with_fees, requested_by)
    values (p_event, p_reason, p_with_fees,
        acting());
    -- Entries that wait are told by the drain, which serves no lane that is paused.
    update lanes set paused = false where event_id = p_event and paused;
    insert into lane_wakes (event_id) select event_id from lanes where event_id = p_event;
    perform enqueue('cancel_event', 'payments', p_event::text,
        jsonb_build_object('event_id', p_event), p_event);
    return 'started';
end $$;
