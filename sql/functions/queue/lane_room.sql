/* Returns how many more entries a lane may let in now, p_most at most, and the limit that allows no more:
   'cap' (until one of its buyers in flight has ended), 'rate' or 'gateway' (for some time). p_credit:
   entries that its admission rate lets in now. p_per_second: payments a second at the gateway; all buyers
   in flight there must be able to pay within the hold time. */
create or replace function lane_room(
    p_show events, p_lane lanes, p_credit numeric, p_most integer, p_per_second double precision,
    out room integer, out kept_by text)
language plpgsql as $$
declare
    under_cap constant bigint := case when p_lane.in_flight_cap is not null
        then p_lane.in_flight_cap - in_flight(p_show.id) end;
    for_gateway bigint;
begin
    room := p_most;
    if under_cap < room then
        room := under_cap; kept_by := 'cap';
    end if;
    if p_lane.admission_rate is not null and floor(p_credit) < room then
        room := floor(p_credit); kept_by := 'rate';
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

/* Counts the buyers of all events who may still pay through a gateway account. Sales that ended long ago are
   not read. A debit that a bank is processing, and a booking with a long time to pay offline, do not
   count, and a pass only while it keeps its place (pass_keeps_place). */
create or replace function paying_through(p_account bigint) returns bigint language sql stable as $$
    with sales as materialized (
        select array_agg(id) as ids, max(hold_seconds) as longest from events e
        where gateway_account_id = any (array(select same_gateway_accounts(p_account)))
            and off_sale_at > clock_timestamp() - interval '1 day'
            and state <> 'draft' and needs_gateway(id)
    )
    select (select count(*) from bookings where event_id = any (ids)
                and deadline between now() - interval '45 min'
                    and now() + make_interval(secs => longest + 60)
                and booking_is_open(state) and state <> 'review'
                and (state <> 'secured' or deadline > now()))
        + (select count(*) from entries e join events v on v.id = e.event_id
            where e.event_id = any (ids) and e.state = 'admitted'
                and pass_keeps_place(e, v.pass_seconds))
    from sales
$$;
