/* Expires holds whose deadline has passed, at most p_limit. Held bookings end and their seats are released.
   A booking that is being paid becomes 'expiring', and the saga asks the gateway. An attempt that is not
   sent yet, or is being sent, has p_grace more time, because the buyer does not cause Usher's backlog.
   Returns how many bookings expired, and how many became 'expiring'. */
create or replace function expire_holds(
    p_limit integer, p_grace interval default '60 s',
    out expired integer, out expiring integer)
language plpgsql set jit = off as $$
declare
    due record;
begin
    expired := 0; expiring := 0;
    for due in
        select d.event_id, array_agg(d.id) filter (where d.state = 'held') as held,
            array_agg(d.id) filter (where d.state = 'authorising') as authorising
        from (
            select b.event_id, b.id, b.state from bookings b
            where b.state in ('held', 'authorising') and b.deadline < clock_timestamp()
                and hold_deadline(b) < clock_timestamp()
                and (b.state = 'held' or exists (
                    select from payments p where p.id = b.payment_id
                        and (p.state not in ('intended', 'unknown')
                             or b.deadline + p_grace < clock_timestamp())))
            order by b.event_id, b.id limit p_limit
            for update of b skip locked) d
        group by d.event_id order by d.event_id
    loop
        if due.held is not null then
            perform release_seats(due.event_id, due.held);
            update bookings set state = 'expired', ended_at = clock_timestamp(), reason = 'deadline'
            where event_id = due.event_id and id = any (due.held) and state = 'held';
            perform notify_buyers(due.event_id, due.held, 'expired');
            expired := expired + cardinality(due.held);
        end if;
        -- The saga locks its task before the booking. Here the booking is locked already, so this must not
        -- wait for a task.
        select array_agg(a.id) into due.authorising from unnest(due.authorising) a(id)
        where not exists (select from outbox where actor = 'advance' and key = a.id::text)
            or a.id::text = any (array(
                select key from outbox where actor = 'advance' and key = any (due.authorising::text[])
                for update skip locked));
        if due.authorising is not null then
            update bookings set state = 'expiring', reason = 'deadline'
            where event_id = due.event_id and id = any (due.authorising) and state = 'authorising';
            perform enqueue('advance', 'payments', id::text,
                jsonb_build_object('event_id', due.event_id, 'booking_id', id), due.event_id)
            from unnest(due.authorising) id;
            expiring := expiring + cardinality(due.authorising);
        end if;
    end loop;
end $$;
