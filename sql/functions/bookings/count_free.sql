/* Counts free seats, up to p_most: of those that entries with so many accessible seats may get. */
create or replace function count_free(
    p_event bigint, p_category integer, p_accessible integer, p_most integer)
returns integer language sql stable as $$
    select count(*)::integer from (
        select from seats s
        where s.event_id = p_event and seat_is_free(s.state, s.allocation)
            and (p_accessible > 0 or not s.kept) and (p_category is null or s.category = p_category)
        limit p_most) s
$$;
