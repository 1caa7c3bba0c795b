/* Counts free seats, up to p_most. */
create or replace function count_free(
    p_event bigint, p_category integer, p_accessible integer, p_most integer)
returns integer language sql stable as $$
    select count(*)::integer from (
        select from seats s
        where s.event_id = p_event and s.state = 'free' and s.allocation is null
            and (p_accessible > 0 or not s.kept) and (p_category is null or s.category = p_category)
        limit p_most) s
$$;
