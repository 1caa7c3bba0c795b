/* Whether an event's bookings have to be paid through its gateway. */
create or replace function needs_gateway(p_event bigint) returns boolean language sql stable as $$
    select exists (select from event_categories where event_id = p_event and price + fee > 0)
        and (select payment_methods <> '{}' from events where id = p_event)
$$;

/* Whether more than p_most tasks of the saga wait to be carried on; null: never. Those whose gateway is
   away wait for it, and say nothing about how fast the others go. */
create or replace function is_backlogged(p_most integer) returns boolean language sql stable as $$
    select p_most is not null and (
        select count(*) > p_most from (
            select from outbox t
            where t.actor = 'advance' and t.key is not null and t.run_at <= clock_timestamp()
                and not exists (
                    select from events e join outages o on o.gateway_account_id = e.gateway_account_id
                    where e.id = t.event_id and o.closed_at is null)
            limit p_most + 1) x)
$$;

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

/* Buyers of an event who may still pay: with seats held, or with a pass. Those whose payment is being
   looked at have done so, and would keep others out for a day. */
create or replace function in_flight(p_event bigint) returns bigint language sql stable as $$
    select (select count(*) from bookings where event_id = p_event
                and state in ('held', 'authorising', 'expiring', 'secured'))
        + (select count(*) from entries where event_id = p_event
                and state = 'admitted' and pass_state <> 'missed' and pass_until > clock_timestamp())
$$;

/* Buyers who may still pay through a gateway account, whatever for. Sales long over are not read; nor is
   who only waits for a bank, with a debit under way, or has long to pay offline. */
create or replace function paying_through(p_account bigint) returns bigint language sql stable as $$
    with sales as materialized (
        select array_agg(id) as ids, max(hold_seconds) as longest from events e
        where gateway_account_id = p_account and off_sale_at > clock_timestamp() - interval '1 day'
            and state <> 'draft' and needs_gateway(id)
    )
    select (select count(*) from bookings where event_id = any (ids)
                and deadline between now() - interval '45 min'
                    and now() + make_interval(secs => longest + 60)
                and state in ('held', 'authorising', 'expiring', 'secured')
                and (state <> 'secured' or deadline > now()))
        + (select count(*) from entries where event_id = any (ids)
                and state = 'admitted' and pass_state <> 'missed' and pass_until > clock_timestamp())
    from sales
$$;

/* How many more buyers a lane may let in now, p_most at most, and what keeps it from more: 'cap' (until
   one of its own is done), 'rate' or 'gateway' (for a while). p_per_second: payments that the gateway
   takes; all who are in flight for it must be able to pay within the hold time. */
create or replace function lane_room(
    p_show events, p_lane lanes, p_most integer, p_per_second double precision,
    out room integer, out kept_by text)
language plpgsql as $$
declare
    for_gateway bigint;
begin
    room := p_most;
    if p_lane.in_flight_cap is not null then
        select least(room, p_lane.in_flight_cap - in_flight(p_show.id)), 'cap' into room, kept_by;
    end if;
    if p_lane.admission_rate is not null and floor(p_lane.admission_credit) < room then
        room := floor(p_lane.admission_credit); kept_by := 'rate';
    end if;
    if p_per_second is not null and room > 0 and needs_gateway(p_show.id) then
        for_gateway := floor(p_per_second * p_show.hold_seconds)
            - paying_through(p_show.gateway_account_id);
        if for_gateway < room then
            room := for_gateway; kept_by := 'gateway';
        end if;
    end if;
    room := greatest(room, 0);
end $$;
