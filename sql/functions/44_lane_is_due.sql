/* Whether a lane may be served: from on_sale_at on, and once the lobby was drawn; or when the sale is
   over, for those who wait are told then. Its cost makes next_lane ask only about lanes that have
   something to decide. */
create or replace function lane_is_due(p_event bigint) returns boolean
language sql volatile cost 10000 as $$
    select state <> 'on_sale' or clock_timestamp() >= off_sale_at
        or clock_timestamp() >= on_sale_at and (lobby_closes_at is null or exists (
            select from draws d where d.event_id = e.id and d.drawn_at is not null))
    from events e where id = p_event
$$;
