/* Expires holds whose deadline has passed, at most p_limit. Held bookings end and their seats are released.
   A booking that is being paid becomes 'expiring', and the saga asks the gateway. An attempt that is not
   sent yet, or is being sent, has p_grace more time, because the buyer does not cause Usher's backlog.
   Returns how many bookings expired, and how many became 'expiring'. */
create or replace function expire_holds(
    p_limit integer, p_grace interval default '60 s',
    out expired integer, out expiring integer)
language plpgsql set jit = off as $$
declare
    woken constant uuid[] := wake_late_sagas(p_limit, p_grace);
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
                and (b.state = 'held' or b.id = any (woken))
            order by b.event_id, b.id limit p_limit
            for update of b skip locked) d
        group by d.event_id order by d.event_id
    loop
        if due.held is not null then
            perform release_seats(due.event_id, due.held);
            perform note_unpaid(due.event_id, array(
                select buyer_id from bookings where event_id = due.event_id and id = any (due.held)));
            update bookings set state = 'expired', ended_at = clock_timestamp(), reason = 'deadline'
            where event_id = due.event_id and id = any (due.held) and state = 'held';
            perform notify_buyers(due.event_id, due.held, 'expired');
            expired := expired + cardinality(due.held);
        end if;
        if due.authorising is not null then
            update bookings set state = 'expiring', reason = 'deadline'
            where event_id = due.event_id and id = any (due.authorising) and state = 'authorising';
            expiring := expiring + cardinality(due.authorising);
        end if;
    end loop;
end $$;

/* Wakes the sagas of bookings whose payment has taken too long, before any booking is locked; those of which
   a worker is just recording an outcome wait for the next time. Returns the bookings. */
create or replace function wake_late_sagas(p_limit integer, p_grace interval) returns uuid[]
language plpgsql set jit = off as $$
declare
    late uuid[] := array(
        select b.id from bookings b
        where b.state = 'authorising' and b.deadline < clock_timestamp()
            and hold_deadline(b) < clock_timestamp()
            and exists (select from payments p where p.id = b.payment_id
                and (p.state not in ('intended', 'unknown') or b.deadline + p_grace < clock_timestamp()))
        order by b.event_id, b.id limit p_limit);
    free text[];
begin
    free := array(select key from outbox where actor = 'advance' and key = any (late::text[])
                  order by id for update skip locked);
    late := array(select l.id from unnest(late) l(id)
                  where l.id::text = any (free)
                      or not exists (select from outbox where actor = 'advance' and key = l.id::text));
    perform wake_sagas(event_id, array_agg(id)) from bookings where id = any (late)
    group by event_id order by event_id;
    return late;
end $$;
