/* Writes a mail to buyers of holds of which half of the time is over, if they have not begun to pay. Each hold
   is looked at once, at that time; one that is being paid then gets no mail later either. At most p_limit
   holds; returns how many buyers were reminded. A deadline that has passed may have credit for an outage
   (hold_deadline); no hold has more than a day, other deadlines are those of offline payments. */
create or replace function remind_holders(p_limit integer, out reminded integer)
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    moment constant timestamptz := clock_timestamp();
    due record;
begin
    reminded := 0;
    delete from reminded_holds where deadline < moment - interval '1 day';
    for due in
        with found as (
            insert into reminded_holds (event_id, booking_id, deadline)
            select b.event_id, b.id, b.deadline from bookings b
            where booking_is_open(b.state)
                and b.deadline between moment - interval '30 min' and moment + interval '12 hours'
                and b.created_at + (b.deadline - b.created_at) / 2 <= moment
                and not exists (select from reminded_holds r
                                where r.event_id = b.event_id and r.booking_id = b.id)
            limit p_limit
            returning event_id, booking_id
        )
        select f.event_id, array_agg(f.booking_id) as holds
        from found f join bookings b on b.event_id = f.event_id and b.id = f.booking_id
        where b.state = 'held'
        group by f.event_id
    loop
        perform notify_buyers(due.event_id, due.holds, 'held');
        reminded := reminded + cardinality(due.holds);
    end loop;
end $$;
