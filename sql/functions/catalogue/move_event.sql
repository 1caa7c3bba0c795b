/* Moves an event to another version of its plan. Its seats get the numbers of that version; entries,
   bookings, tickets and refunds follow. outcome: 'moved', or why not, and then nothing is changed:
   'categories' (names: of seats' categories that have no price, or another name in an event that was opened)
   or 'seats_gone' (names: guids of seats that the version has not, and that a booking or a waiting entry of
   the event has, or had).

   The caller has locked the event's row. Lock order: lane, sale (alone, so no booking is under way that saw
   the old version), entries, bookings by id, seats by id. */
create or replace function move_event(
    p_event bigint, p_version bigint, out outcome text, out names text[])
language plpgsql set jit = off as $$
#variable_conflict use_column
declare
    opened constant boolean := (select state <> 'draft' from events where id = p_event);
    old_version bigint;
begin
    perform from lane_state where event_id = p_event for update;
    perform lock_sale(p_event, true);
    select plan_version_id into old_version from events where id = p_event;
    select array_agg(c.name order by c.category) into names
    from plan_categories c
    where c.plan_version_id = p_version
        and exists (select from plan_seats s where s.plan_version_id = p_version and s.category = c.category)
        and not exists (select from event_categories p where p.event_id = p_event and p.name = c.name
                        and (not opened or p.category = c.category));
    if names is not null then
        outcome := 'categories'; return;
    end if;
    if opened then
        names := find_seats_gone(p_event, old_version, p_version);
        if names is not null then
            outcome := 'seats_gone'; return;
        end if;
        perform move_seats(p_event, old_version, p_version);
    else
        perform move_prices(p_event, p_version);
    end if;
    update events set plan_version_id = p_version where id = p_event;
    perform audit('plan version changed', p_event,
        jsonb_build_object('from', old_version, 'to', p_version));
    outcome := 'moved';
end $$;

/* Finds the seats that a version has not, and that bookings or waiting entries of the event have.

   Like move_seats, it joins two versions whole, and never by loops: of a stadium that was imported a moment ago
   Postgres has no statistics yet. It would take it for a small plan, and look at each seat for each seat. */
create or replace function find_seats_gone(p_event bigint, p_old bigint, p_new bigint)
returns text[] language sql stable set enable_nestloop = off as $$
    select array_agg(o.guid order by o.seat)
    from plan_seats o
    where o.plan_version_id = p_old
        and not exists (select from plan_seats n where n.plan_version_id = p_new and n.guid = o.guid)
        and o.seat in (
            select i.seat from booking_items i where i.event_id = p_event
            union all
            select unnest(e.seats) from entries e
            where e.event_id = p_event and e.seats is not null and entry_is_active(e.state))
$$;

/* Gives the categories of a draft the numbers that a version has for their names. */
create or replace function move_prices(p_event bigint, p_version bigint) returns void
language plpgsql as $$
declare
    old jsonb := (select jsonb_agg(p) from event_categories p where p.event_id = p_event);
begin
    delete from event_categories where event_id = p_event;
    insert into event_categories (event_id, category, name, price, fee, tax_rate)
    select p_event, c.category, c.name, p.price, p.fee, p.tax_rate
    from jsonb_populate_recordset(null::event_categories, old) p
    join plan_categories c on c.plan_version_id = p_version and c.name = p.name
    where exists (select from plan_seats s where s.plan_version_id = p_version and s.category = c.category);
end $$;

/* Renumbers the seats of an event by their guids. Numbers that are wanted by others are left first, by
   making all of them negative. */
create or replace function move_seats(p_event bigint, p_old bigint, p_new bigint) returns void
language plpgsql set enable_nestloop = off as $$
declare
    released constant boolean := (select accessible_released_at is not null from events where id = p_event);
begin
    perform from entries where event_id = p_event and seats is not null order by number for update;
    perform from bookings where event_id = p_event order by id for update;
    perform from seats where event_id = p_event order by seat for update;
    create temporary table moved on commit drop as
        select o.seat as old_seat, n.seat, n.category, n.centre, n.accessible, n.companion
        from plan_seats o
        join plan_seats n on n.plan_version_id = p_new and n.guid = o.guid
        where o.plan_version_id = p_old;

    update entries e
    set seats = (select array_agg(coalesce(m.seat, -w.seat) order by m.seat)
                 from unnest(e.seats) w(seat) left join moved m on m.old_seat = w.seat)
    where e.event_id = p_event and e.seats is not null;
    update booking_items set seat = -seat where event_id = p_event;
    update booking_items i set seat = m.seat from moved m
    where i.event_id = p_event and i.seat = -m.old_seat;

    delete from seats s where s.event_id = p_event
        and not exists (select from moved m where m.old_seat = s.seat);
    update seats set seat = -seat where event_id = p_event;
    update seats s set seat = m.seat, category = m.category, centre = m.centre,
        accessible = m.accessible, kept = (m.accessible or m.companion) and not released
    from moved m
    where s.event_id = p_event and s.seat = -m.old_seat;
    insert into seats (event_id, seat, category, centre, accessible, kept)
    select p_event, n.seat, n.category, n.centre, n.accessible,
        (n.accessible or n.companion) and not released
    from plan_seats n
    where n.plan_version_id = p_new and not exists (select from moved m where m.seat = n.seat)
    order by n.seat;
    drop table moved;
    insert into lane_wakes (event_id) values (p_event);
end $$;
