/* Returns the rules for which payments have to be reviewed: [{rule, value, most, window_seconds}] for each that
   has to. The others need no review; or they were charged at once, so that only a refund would be possible. */
create or replace function reasons_for_review(p_events bigint[], p_payments uuid[])
returns table (payment_id uuid, reasons jsonb)
language sql stable
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select p.id, jsonb_agg(jsonb_build_object('rule', r.rule, 'value', m.value, 'most', r.most,
        'window_seconds', r.window_seconds) order by r.rule)
    from payments p
    join bookings b on b.event_id = p.event_id and b.id = p.booking_id
    cross join lateral review_rules_of(p.organisation_id) r
    cross join lateral (select measure_review_rule(r.rule, p, b.buyer_id,
        clock_timestamp() - make_interval(secs => r.window_seconds), r.most) as value) m
    where p.id = any (p_payments) and array_position(p_events, p.event_id) is not null
        and p.state = 'authorised' and r.action = 'review' and m.value > r.most
    group by p.id
$$;

/* Measures a payment by a rule, counting at least up to p_most + 1. Buyers and bookings are counted among
   the latest 500 attempts, so that the cost has a limit. A booking may be paid a day after it was made. */
create or replace function measure_review_rule(
    p_rule text, p_paid payments, p_buyer bigint, p_since timestamptz, p_most integer)
returns bigint language plpgsql stable
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    found_to_be bigint;
begin
    case p_rule
    when 'buyer_attempts' then
        select count(*) into found_to_be from (
            select from bookings b
            join payments p on p.event_id = b.event_id and p.booking_id = b.id
            where b.buyer_id = p_buyer and b.organisation_id = p_paid.organisation_id
                and b.created_at > p_since - interval '1 day' and p.created_at > p_since
            limit p_most + 1) x;
    when 'buyer_seats' then
        select sum(quantity) into found_to_be from (
            select b.quantity from bookings b
            where b.buyer_id = p_buyer and b.organisation_id = p_paid.organisation_id
                and b.created_at > p_since and (b.id = p_paid.booking_id
                    or b.state in ('review', 'secured', 'confirmed', 'frozen'))
            limit p_most + 1) x;
    when 'card_buyers', 'card_bookings' then
        select case p_rule when 'card_buyers' then count(distinct b.buyer_id)
                           else count(distinct b.id) end
        into found_to_be
        from (select p.event_id, p.booking_id from payments p
              where p.organisation_id = p_paid.organisation_id
                  and p.card_fingerprint = p_paid.card_fingerprint and p.created_at > p_since
              order by p.created_at desc limit 500) used
        join bookings b on b.event_id = used.event_id and b.id = used.booking_id;
    when 'address_buyers' then
        select count(distinct b.buyer_id) into found_to_be
        from (select p.event_id, p.booking_id from payments p
              where p.organisation_id = p_paid.organisation_id
                  and p.address_hash = p_paid.address_hash and p.created_at > p_since
              order by p.created_at desc limit 500) used
        join bookings b on b.event_id = used.event_id and b.id = used.booking_id;
    when 'buyer_declines' then
        select count(*) into found_to_be from (
            select from bookings b
            join payments p on p.event_id = b.event_id and p.booking_id = b.id
            where b.buyer_id = p_buyer and b.created_at > p_since - interval '1 day'
                and p.created_at > p_since and counts_as_decline(p)
            limit p_most + 1) x;
    when 'card_declines' then
        select count(*) filter (where used.declined) into found_to_be
        from (select counts_as_decline(p) as declined from payments p
              where p.card_fingerprint = p_paid.card_fingerprint and p.created_at > p_since
              order by p.created_at desc limit 500) used;
    when 'address_declines' then
        select count(*) filter (where used.declined) into found_to_be
        from (select counts_as_decline(p) as declined from payments p
              where p.address_hash = p_paid.address_hash and p.created_at > p_since
              order by p.created_at desc limit 500) used;
    when 'gateway_review' then
        found_to_be := p_paid.gateway_review::integer;
    when 'risk_level' then
        found_to_be := case p_paid.risk_level when 'highest' then 2 when 'elevated' then 1 end;
    end case;
    return coalesce(found_to_be, 0);
end $$;
