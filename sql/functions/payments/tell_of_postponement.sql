/* Writes mails to the next buyers of an event's latest postponement, p_limit bookings at most; bookings that
   are still being paid are told when they are confirmed (issue_tickets). told: how many mails; finished:
   whether these were the last ones.

   Bookings are locked before their states are read: a transaction that confirms one has either ended, and
   the booking is told here, or it has not begun, and will see the postponement. */
create or replace function tell_of_postponement(
    p_event bigint, p_limit integer, out told integer, out finished boolean)
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    p postponements;
    ids uuid[];
begin
    told := 0; finished := true;
    select * into p from postponements where event_id = p_event
    order by number desc limit 1 for no key update;
    if p.number is null or p.finished_at is not null then
        return;
    end if;
    ids := array(select id from bookings
                 where event_id = p_event and id > coalesce(p.told_to, '00000000-0000-0000-0000-000000000000')
                     and created_at < p.requested_at and not booking_has_ended(state)
                 order by id limit p_limit);
    perform from bookings where event_id = p_event and id = any (ids) order by id for update;
    told := notify_postponed(p_event, ids);
    finished := cardinality(ids) < p_limit;
    update postponements
    set told_to = coalesce(ids[cardinality(ids)], told_to),
        finished_at = case when finished then clock_timestamp() end
    where event_id = p_event and number = p.number;
end $$;
