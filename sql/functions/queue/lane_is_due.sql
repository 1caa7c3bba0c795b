/* Tells whether entries of a lane may be decided. The sale is on, or is over, which the entries have to be
   told; a lobby was drawn; and if its bookings need a gateway, the gateway can be used and has no backlog
   (p_backlogged: accounts that have one) in which new holds would expire before they are paid. The function is slow, so next_lane
   calls it only for lanes with something to decide. */
create or replace function lane_is_due(p_event bigint, p_backlogged bigint[]) returns boolean
language sql volatile cost 10000 as $$
    select state <> 'on_sale' or clock_timestamp() >= off_sale_at
        or clock_timestamp() >= on_sale_at
        and (lobby_closes_at is null or exists (
            select from draws d where d.event_id = e.id and d.drawn_at is not null))
        and not (needs_gateway(e.id) and (e.gateway_account_id = any (p_backlogged) or exists (
            select from outages o
            where o.gateway_account_id = e.gateway_account_id and o.closed_at is null)))
    from events e where id = p_event
$$;
