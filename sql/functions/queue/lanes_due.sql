/* Tells of each event whether entries of its lane may be decided now. The sale is on, or is over, which the
   entries have to be told; a lobby was drawn; and if its bookings need a gateway, p_away has not its account:
   the gateway can be used, and has no backlog in which new holds would expire before they are paid. An
   organisation that is suspended sells nothing.
   PostgreSQL puts the body into the query that asks. */
create or replace function lanes_due(p_moment timestamptz, p_away bigint[])
returns table (event_id bigint, is_over boolean, is_due boolean) language sql stable as $$
    select e.id, o.is_over, o.is_over or p_moment >= e.on_sale_at
        and (e.lobby_closes_at is null or exists (
            select from draws d where d.event_id = e.id and d.drawn_at is not null))
        and not (e.gateway_account_id = any (p_away) and needs_gateway(e.id))
        and e.organisation_id <> all (array(select id from organisations where suspended_at is not null))
    from events e
    cross join lateral (select e.state <> 'on_sale' or p_moment >= e.off_sale_at as is_over) o
$$;
