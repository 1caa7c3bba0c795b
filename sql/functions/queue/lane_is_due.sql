/* Whether entries of a lane may be decided: its sale is on, or over, which they have to be told; what
   was a lobby is drawn; and the gateway that its bookings need can be used, and is not so far behind
   (p_backlogged) that new holds would run out before they are paid. Its cost makes next_lane ask only
   about lanes that have something to decide. */
create or replace function lane_is_due(p_event bigint, p_backlogged boolean) returns boolean
language sql volatile cost 10000 as $$
    select state <> 'on_sale' or clock_timestamp() >= off_sale_at
        or clock_timestamp() >= on_sale_at
        and (lobby_closes_at is null or exists (
            select from draws d where d.event_id = e.id and d.drawn_at is not null))
        and not (needs_gateway(e.id) and (p_backlogged or exists (
            select from outages o
            where o.gateway_account_id = e.gateway_account_id and o.closed_at is null)))
    from events e where id = p_event
$$;
