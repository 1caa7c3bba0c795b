/* Chooses seats for an entry that asks for accessible seats: p_quantity neighbours, p_places of them
   accessible, and companions' places rather than other seats. Neighbours may be of any category where the
   wish's own has no such seats: wheelchair places and companions' places are often categories of their own.
   If no row has such seats and the group may be split, it chooses the accessible seats alone; the companions
   then get seats like any other group, or, if the category has none, those nearest. Null: there are none.
   p_owner: by seat, 0 if it is free for this batch. Such entries are rare, so the table is read anew each
   time. */
create or replace function choose_accessible(
    p_event bigint, p_quantity integer, p_category integer, p_together boolean, p_places integer,
    p_owner integer[])
returns integer[] language plpgsql stable set jit = off as $$
declare
    version bigint;
    of_places boolean;    -- the category has accessible seats, and they are to be of it
    of_others boolean;    -- the same of seats that are neither accessible nor a companion's
    start integer;
    places integer[];
begin
    select e.plan_version_id, exists (
            select from seats where event_id = p_event and accessible and category = p_category),
        coalesce(c.ordinary_seats > 0, false)
    into version, of_places, of_others
    from events e
    left join plan_categories c on c.plan_version_id = e.plan_version_id and c.category = p_category
    where e.id = p_event;
    with place as (
        select seat from seats
        where event_id = p_event and accessible and seat_is_free(state, allocation)
            and (not of_places or category = p_category) and p_owner[seat] = 0
    ), near as (
        select distinct s.seat, s.accessible, p.companion and not s.accessible as companion
        from place a
        join seats s on s.event_id = p_event
            and s.seat between a.seat - p_quantity + 1 and a.seat + p_quantity - 1
        join plan_seats p on p.plan_version_id = version and p.seat = s.seat
        where seat_is_free(s.state, s.allocation) and p_owner[s.seat] = 0
            and case when s.accessible then not of_places or s.category = p_category
                     else p.companion or not of_others or s.category = p_category end
    ), block as (
        select seat, count(*) over w as seats, count(*) filter (where accessible) over w as places,
            count(*) filter (where companion) over w as companions
        from near
        window w as (order by seat range between current row and p_quantity - 1 following)
    )
    select b.seat into start from block b
    where b.seats = p_quantity and b.places = p_places
    order by b.companions > p_places, b.companions desc, b.seat limit 1;
    if start is not null then
        return array(select generate_series(start, start + p_quantity - 1));
    end if;
    select array_agg(a.seat) into places from (
        select seat from seats
        where event_id = p_event and accessible and seat_is_free(state, allocation)
            and (not of_places or category = p_category) and p_owner[seat] = 0
        order by seat limit p_places) a;
    if p_together or cardinality(places) is distinct from p_places then
        return null;
    elsif p_category > 0 and not of_others and p_quantity > p_places then
        places := places || array(
            select s.seat from seats s
            where s.event_id = p_event and not s.accessible and seat_is_free(s.state, s.allocation)
                and p_owner[s.seat] = 0
            order by abs(s.seat - places[1]), s.seat limit p_quantity - p_places);
        return case when cardinality(places) = p_quantity then places end;
    end if;
    return places;
end $$;
