/* Deletes holds that ended longer than p_retention ago without an attempt to pay, with all that belongs to
   them: items, entry, mails, corrected address and name, notes, their part of the state log. How many there were is kept
   in purged_holds. Left out are those that something still has to do with, and those of events that are
   being archived, which take them along. At most p_limit; returns the bookings.
   Nothing waits for it, and it waits for nothing: what others have locked is left to the next batch. */
create or replace function purge_holds(p_retention interval, p_limit integer) returns setof uuid
language plpgsql set jit = off as $$
declare
    old record;
begin
    for old in
        select o.event_id, array_agg(o.id) as ids
        from old_holds(p_retention, p_limit) o
        group by o.event_id order by o.event_id
    loop
        return query select * from purge_holds_of(old.event_id, old.ids, p_retention);
    end loop;
end $$;

/* Lists holds that may be purged, the oldest first. A mail about one may still wait. */
create or replace function old_holds(
    p_retention interval, p_limit integer, out event_id bigint, out id uuid)
returns setof record language sql stable set enable_seqscan = off set jit = off as $$
    select b.event_id, b.id from bookings b
    join events e on e.id = b.event_id and e.archive_month is null
    where b.ended_at < clock_timestamp() - p_retention and b.ended_at is not null
        and b.payment_id is null and b.confirmed_at is null and b.state in ('expired', 'cancelled')
        and not exists (select from payments p where p.event_id = b.event_id and p.booking_id = b.id)
        and not exists (select from emails m where m.event_id = b.event_id and m.booking_id = b.id
            and m.refund_id is null and m.postponement is null and m.state = 'pending')
        and not exists (select from dead_letters l where l.booking_id = b.id and l.resolved_at is null)
    order by b.ended_at limit p_limit
$$;

/* Purges those of an event's holds that no other transaction has locked. The locks are taken in the order of
   all: the event, so that no archive begins; entries, bookings, at the end the counters. */
create or replace function purge_holds_of(p_event bigint, ids uuid[], p_retention interval)
returns setof uuid language plpgsql set jit = off set enable_seqscan = off as $$
declare
    free uuid[];
    came uuid[];     -- entries
    buyers bigint[];
    since timestamptz;
begin
    perform from events where id = p_event and archive_month is null for key share skip locked;
    if not found then
        return;
    end if;
    came := array(
        select e.id from entries e
        where e.event_id = p_event and e.id = any (array(
            select entry_id from bookings where event_id = p_event and id = any (ids)))
        order by e.number for update skip locked);
    free := array(
        select b.id from bookings b
        where b.event_id = p_event and b.id = any (ids)
            and (b.entry_id is null or b.entry_id = any (came))
            and b.ended_at is not null and b.payment_id is null and b.confirmed_at is null
        order by b.id for update skip locked);
    select array_agg(distinct buyer_id), min(created_at) into buyers, since
    from bookings where event_id = p_event and id = any (free);
    insert into purged_holds as p (event_id, state, reason, bookings, seats)
    select p_event, state, coalesce(reason, ''), count(*), sum(quantity)
    from bookings where event_id = p_event and id = any (free)
    group by state, coalesce(reason, '') order by state, coalesce(reason, '')
    on conflict (event_id, state, reason) do update
        set bookings = p.bookings + excluded.bookings, seats = p.seats + excluded.seats;
    delete from emails where event_id = p_event and booking_id = any (free)
        and refund_id is null and postponement is null;
    delete from booking_addresses where event_id = p_event and booking_id = any (free);
    delete from booking_names where event_id = p_event and booking_id = any (free);
    delete from booking_notes where event_id = p_event and booking_id = any (free);
    delete from booking_tags where event_id = p_event and booking_id = any (free);
    delete from booking_terms where booking_id = any (free);
    delete from bookings_to_index where booking_id = any (free);
    delete from booking_items where event_id = p_event and booking_id = any (free);
    delete from entries where event_id = p_event and id = any (came) and booking_id = any (free);
    delete from bookings where event_id = p_event and id = any (free);
    delete from state_log where event_id = p_event and id = any (free) and at >= since - interval '1 hour';
    perform forget_buyers(p_event, buyers, p_retention);
    return query select unnest(free);
end $$;

/* Deletes the counters of buyers who have no booking of the event left and held none lately. */
create or replace function forget_buyers(p_event bigint, p_buyers bigint[], p_retention interval)
returns void language plpgsql set jit = off set enable_seqscan = off as $$
declare
    gone constant bigint[] := array(
        select c.buyer_id from buyer_seats c
        where c.event_id = p_event and c.buyer_id = any (p_buyers) and c.seats = 0
            and coalesce(c.unpaid_at < clock_timestamp() - p_retention, true)
            and not exists (select from bookings b
                            where b.buyer_id = c.buyer_id and b.event_id = c.event_id)
        order by c.buyer_id for update skip locked);
begin
    delete from buyer_seats where event_id = p_event and buyer_id = any (gone);
end $$;
