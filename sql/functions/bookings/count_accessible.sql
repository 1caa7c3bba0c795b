/* Counts free places for wheelchairs: those of a category, if it has any; otherwise those of the event. */
create or replace function count_accessible(p_event bigint, p_category integer)
returns integer language sql stable as $$
    select count(*)::integer from seats s
    where s.event_id = p_event and s.accessible and seat_is_free(s.state, s.allocation)
        and (s.category = p_category or not coalesce((
            select c.accessible_seats > 0
            from events e join plan_categories c on c.plan_version_id = e.plan_version_id
            where e.id = p_event and c.category = p_category), false))
$$;
