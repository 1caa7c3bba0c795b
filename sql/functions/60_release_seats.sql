/* Gives the seats of ended bookings back and wakes the lane. The caller has locked the bookings and
   moves them to their end in the same transaction. Seats are locked by id, then the counters. */
create or replace function release_seats(p_event bigint, p_bookings uuid[]) returns integer
language plpgsql as $$
declare
    released integer;
begin
    perform from seats where event_id = p_event and booking_id = any (p_bookings)
        and seat = any (array(select seat from booking_items
                              where event_id = p_event and booking_id = any (p_bookings)))
    order by seat for update;
    update seats s set state = 'free', booking_id = null
    from booking_items i
    where i.event_id = p_event and i.booking_id = any (p_bookings)
        and s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id;
    get diagnostics released = row_count;
    perform from buyer_seats where event_id = p_event and buyer_id = any (array(
        select buyer_id from bookings where event_id = p_event and id = any (p_bookings)))
    order by buyer_id for update;
    update buyer_seats c set seats = c.seats - b.quantity
    from (select buyer_id, sum(quantity) as quantity from bookings
          where event_id = p_event and id = any (p_bookings) group by buyer_id) b
    where c.event_id = p_event and c.buyer_id = b.buyer_id;
    return released;
end $$;

/* A booking that is settled, one way or the other, may change what standby entries can hope for. */
create or replace function wake_lanes() returns trigger language plpgsql as $$
begin
    insert into lane_wakes (event_id, released)
    select n.event_id, bool_or(n.ended_at is not null)
    from old_rows o join new_rows n on n.event_id = o.event_id and n.id = o.id
    where o.state in ('held', 'authorising', 'expiring', 'review', 'secured')
        and n.state not in ('held', 'authorising', 'expiring', 'review', 'secured')
        or o.state in ('confirmed', 'frozen') and n.state = 'cancelled'
    group by n.event_id;
    return null;
end $$;

create or replace trigger bookings_wake_lanes after update on bookings
    referencing old table as old_rows new table as new_rows
    for each statement execute function wake_lanes();

/* Expires holds past their deadline, at most p_limit of them: held bookings end and their seats come
   free. One that is being paid is 'expiring' first, which the saga resolves with the gateway; an
   attempt that was not yet sent, or is being sent, keeps p_grace more, because our own backlog is not
   the buyer's fault. Time in which the gateway could not be used is credited, up to p_credit.
   Returns the numbers of bookings expired and set expiring. */
create or replace function expire_holds(
    p_limit integer, p_grace interval default '60 s', p_credit interval default '30 min',
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
                and b.deadline + least(p_credit, outage_overlap(b.gateway_account_id, b.created_at))
                    < clock_timestamp()
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
        -- The saga locks its task before the booking: we hold the booking, and must not wait for a task.
        select array_agg(a.id) into due.authorising from unnest(due.authorising) a(id)
        where not exists (select from outbox where actor = 'advance' and key = a.id::text)
            or a.id::text = any (array(
                select key from outbox where actor = 'advance' and key = any (due.authorising::text[])
                for update skip locked));
        if due.authorising is not null then
            update bookings set state = 'expiring', reason = 'deadline'
            where event_id = due.event_id and id = any (due.authorising) and state = 'authorising';
            perform enqueue('advance', 'bookings', id::text,
                jsonb_build_object('event_id', due.event_id, 'booking_id', id), due.event_id)
            from unnest(due.authorising) id;
            expiring := expiring + cardinality(due.authorising);
        end if;
    end loop;
end $$;

/* How long, since p_since, the gateway could not be used. */
create or replace function outage_overlap(p_gateway_account bigint, p_since timestamptz)
returns interval language sql stable as $$
    select coalesce(sum(coalesce(closed_at, clock_timestamp()) - greatest(opened_at, p_since)),
        interval '0')
    from outages
    where gateway_account_id = p_gateway_account
        and coalesce(closed_at, clock_timestamp()) > p_since
$$;
