/* Finds bookings of an organisation that have one of the terms p_any and all of p_all, in their latest state, the
   latest first, after the given one. It reads the bookings of p_any in the order of their ids and stops when the
   page is full; of p_all it looks up each. Terms may be some seconds old, so the booking itself decides on state
   and organisation. */
create or replace function find_bookings(
    p_organisation bigint, p_any bigint[], p_all bigint[], p_event bigint, p_state text, p_after uuid,
    p_limit integer)
returns table (event_id bigint, id uuid) language plpgsql stable
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_material = off set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select f.event_id, f.id
    from unnest(p_any) a(term)
    cross join lateral (
        select b.event_id, b.id
        from booking_terms t
        join bookings b on b.event_id = t.event_id and b.id = t.booking_id
        where t.term = a.term and (p_after is null or t.booking_id < p_after)
            and (p_event is null or t.event_id = p_event)
            and not exists (
                select from unnest(p_all) o(term) where not exists (
                    select from booking_terms x where x.term = o.term and x.booking_id = t.booking_id))
            and b.organisation_id = p_organisation and (p_state is null or b.state = p_state)
        order by t.booking_id desc limit p_limit) f
    group by f.event_id, f.id
    order by f.id desc limit p_limit;
end $$;
