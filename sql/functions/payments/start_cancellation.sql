/* Cancels an event for good, for an organiser. The drain tells the queue; the task cancels the bookings.
   outcome: 'started', 'no_event', 'already'; 'archived': some bookings are in the archive, where the task
   would not find them. p_scope: the caller's organisation; null: all organisations. */
create or replace function start_cancellation(
    p_event bigint, p_scope bigint, p_reason text, p_with_fees boolean)
returns text language plpgsql as $$
declare
    found_in text;
    archived boolean;
begin
    -- The task comes before the event; where nothing is started, the caller rolls back.
    perform enqueue('cancel_event', 'payments', id::text, jsonb_build_object('event_id', id), id)
    from events where id = p_event and (p_scope is null or organisation_id = p_scope);
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
    -- The drain tells the waiting entries, and it does not serve a paused lane.
    update lanes set paused = false where event_id = p_event and paused;
    insert into lane_wakes (event_id) select event_id from lanes where event_id = p_event;
    return 'started';
end $$;
