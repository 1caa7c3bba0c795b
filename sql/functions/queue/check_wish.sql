/* Checks a wish for seats of an event. outcome: null if it is allowed, and then seats are the named ones, if
   there are any; or why not: 'no_event', 'over', 'not_open', 'terms', 'unpaid_holds', 'over_cap',
   'unknown_category', 'unknown_seat', 'kept_seat', 'companion_seat' (a companion's place without a
   wheelchair's), 'no_accessible' (the event has fewer such seats, taken or not) or 'price_changed' (it costs
   total, and not p_expected). What a wish for wheelchair places costs is known when seats are chosen.
   p_by_organisation: it books for the buyer, whose earlier holds do not matter then.
   p_version: the plan version of the chart from which the seats were named; 'plan_moved': the event has
   another one now. */
create or replace function check_wish(
    p_show events, p_opens_at timestamptz, p_buyer bigint, p_quantity integer, p_category integer,
    p_accessible integer, p_guids text[], p_accept_terms boolean, p_expected bigint default null,
    p_by_organisation boolean default false, p_version bigint default null,
    out outcome text, out seats integer[], out total bigint)
language plpgsql stable as $$
declare
    places integer;         -- of the named seats, kept ones for wheelchairs
    companions boolean;     -- some are kept for companions
    with_place boolean;     -- some are for wheelchairs
begin
    outcome := case
        when p_show.id is null then 'no_event'
        when p_show.state in ('closed', 'cancelled') or clock_timestamp() >= p_show.off_sale_at
            then 'over'
        when clock_timestamp() < p_opens_at then 'not_open'
        when p_show.terms <> '' and not p_accept_terms then 'terms'
        when not p_by_organisation and unpaid_wait(p_show, p_buyer) is not null then 'unpaid_holds'
        when p_quantity > seats_allowed(p_show, p_buyer) then 'over_cap'
        when p_category is not null and not exists (
            select from event_categories where event_id = p_show.id and category = p_category)
            then 'unknown_category'
        when p_accessible > 0 and p_accessible > count_accessible(p_show.id, p_category, false)
            then 'no_accessible'
        when p_version <> p_show.plan_version_id then 'plan_moved'
    end;
    if outcome is null and p_guids is not null then
        select array_agg(s.seat order by s.seat), count(*) filter (where s.kept and p.accessible),
            bool_or(s.kept and p.companion and not p.accessible), bool_or(p.accessible)
        into seats, places, companions, with_place
        from plan_seats p join public.seats s on s.event_id = p_show.id and s.seat = p.seat
        where p.plan_version_id = p_show.plan_version_id and p.guid = any (p_guids);
        outcome := case
            when coalesce(cardinality(seats), 0) <> p_quantity then 'unknown_seat'
            when places > p_accessible or companions and p_accessible = 0 then 'kept_seat'
            when companions and not with_place then 'companion_seat'
        end;
    end if;
    if outcome is null and p_expected is not null and (p_accessible = 0 or seats is not null) then
        total := wish_total(p_show, p_quantity, p_category, seats);
        outcome := case when total is distinct from p_expected then 'price_changed' end;
    end if;
end $$;
