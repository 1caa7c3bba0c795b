/* Counts places for wheelchairs, the free ones or all: those of a category, if it has any; otherwise those of
   the event. */
create or replace function count_accessible(p_event bigint, p_category integer, p_free boolean default true)
returns integer language sql stable as $$
    select count(*)::integer from seats s
    where s.event_id = p_event and s.accessible
        and (not p_free or seat_is_free(s.state, s.allocation))
        and (s.category = p_category or not exists (
            select from seats c where c.event_id = p_event and c.accessible and c.category = p_category))
$$;
