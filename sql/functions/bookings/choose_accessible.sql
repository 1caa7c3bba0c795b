/* Chooses seats for an entry that asks for accessible seats: p_quantity neighbours, p_places of them
   accessible, and as few other accessible seats as possible. If no row has such seats and the group may be
   split, it chooses the accessible seats alone; the companions then get seats like any other group. Null:
   there are none. p_owner: by seat, 0 if it is free for this batch. Such entries are rare, so the table is
   read anew each time. */
create or replace function choose_accessible(
    p_event bigint, p_quantity integer, p_category integer, p_together boolean, p_places integer,
    p_owner integer[])
returns integer[] language plpgsql stable set jit = off as $$
declare
    start integer;
    places integer[];
begin
    with place as (
        select seat from seats
        where event_id = p_event and state = 'free' and allocation is null and accessible
            and p_category in (0, category) and p_owner[seat] = 0
    ), near as (
        select distinct s.seat, s.accessible
        from place p
        join seats s on s.event_id = p_event
            and s.seat between p.seat - p_quantity + 1 and p.seat + p_quantity - 1
        where s.state = 'free' and s.allocation is null and p_category in (0, s.category)
            and p_owner[s.seat] = 0
    ), block as (
        select seat, count(*) over w as seats, count(*) filter (where accessible) over w as places
        from near
        window w as (order by seat range between current row and p_quantity - 1 following)
    )
    select b.seat into start from block b
    where b.seats = p_quantity and b.places >= p_places
    order by b.places, b.seat limit 1;
    if start is not null then
        return array(select generate_series(start, start + p_quantity - 1));
    end if;
    select array_agg(p.seat) into places from (
        select seat from seats
        where event_id = p_event and state = 'free' and allocation is null and accessible
            and p_category in (0, category) and p_owner[seat] = 0
        order by seat limit p_places) p;
    if p_together or cardinality(places) is distinct from p_places then
        return null;
    end if;
    return places;
end $$;
