/* The rules of an organisation: what is counted, in which window, how much is let pass, and whether more
   than that is reviewed. Those about cards and addresses are off until an organisation wants them: a
   company's card and an office's address have many buyers.

   buyer_attempts: attempts to pay by the buyer. buyer_seats: seats that the buyer has paid, or is paying.
   card_buyers, card_bookings: who tried to pay with the card, and for how many bookings.
   address_buyers: who tried to pay from the address. gateway_review: 1 where the gateway wants a person
   to look at it. risk_level: what the gateway makes of it, 1 elevated, 2 highest. */
create or replace function risk_rules_of(p_organisation bigint)
returns table (rule text, window_seconds integer, most smallint, action text)
language sql stable as $$
    select d.rule, coalesce(r.window_seconds, d.window_seconds), coalesce(r.most, d.most::smallint),
        coalesce(r.action, d.action)
    from (values
        ('buyer_attempts', 3600, 20, 'review'),
        ('buyer_seats', 86400, 100, 'review'),
        ('card_buyers', 86400, 4, 'none'),
        ('card_bookings', 86400, 20, 'none'),
        ('address_buyers', 3600, 10, 'none'),
        ('gateway_review', 3600, 0, 'review'),
        ('risk_level', 3600, 1, 'review')
    ) d (rule, window_seconds, most, action)
    left join risk_rules r on r.organisation_id = p_organisation and r.rule = d.rule
$$;

/* What a rule counts for a payment, at least up to p_most + 1; or, for numbers of buyers and bookings,
   among the latest 500 attempts: what it costs does not grow with the crowd. A booking may be paid a day
   after it was made. */
create or replace function measure_risk(
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
    when 'gateway_review' then
        found_to_be := p_paid.gateway_review::integer;
    when 'risk_level' then
        found_to_be := case p_paid.risk_level when 'highest' then 2 when 'elevated' then 1 end;
    end case;
    return coalesce(found_to_be, 0);
end $$;

/* Why a person has to look at a payment: [{rule, value, most, window_seconds}], null: nobody has to, or
   its money was taken at once, and could only be given back. */
create or replace function assess_risk(p_payment uuid) returns jsonb
language sql stable set jit = off as $$
    select jsonb_agg(jsonb_build_object('rule', r.rule, 'value', m.value, 'most', r.most,
        'window_seconds', r.window_seconds) order by r.rule)
    from payments p
    join bookings b on b.event_id = p.event_id and b.id = p.booking_id
    cross join lateral risk_rules_of(p.organisation_id) r
    cross join lateral (select measure_risk(r.rule, p, b.buyer_id,
        clock_timestamp() - make_interval(secs => r.window_seconds), r.most) as value) m
    where p.id = p_payment and p.state = 'authorised' and r.action = 'review' and m.value > r.most
$$;

/* An authorised payment: the seats are the buyer's, or a person has to look at it first. Until then they
   can expire no more than if they were secured. Returns the state that the booking has now, null: somebody
   was first. The review ends a day before the authorisation would lapse, and when the event begins. */
create or replace function secure_or_review(p_event bigint, p_booking uuid, p_payment uuid)
returns text language plpgsql as $$
declare
    reasons constant jsonb := assess_risk(p_payment);
begin
    perform from bookings
    where event_id = p_event and id = p_booking and state = 'expiring' and reason <> 'deadline' for update;
    if found then
        return null;  -- given up while the gateway was asked: what it reserved is voided
    end if;
    if reasons is null then
        return case when secure_booking(p_event, p_booking, p_payment) then 'secured' end;
    end if;
    update bookings b
    set state = 'review', reason = null, review_reasons = reasons, review_until = least(
        clock_timestamp() + make_interval(secs => o.review_seconds),
        coalesce(p.capture_before, p.first_sent_at + interval '7 days') - interval '1 day',
        e.starts_at)
    from payments p, organisations o, events e
    where b.event_id = p_event and b.id = p_booking and b.payment_id = p_payment
        and b.state in ('authorising', 'expiring')
        and p.id = p_payment and o.id = b.organisation_id and e.id = p_event;
    if not found then
        return null;
    end if;
    perform notify_buyers(p_event, array[p_booking], 'in_review');
    return 'review';
end $$;

/* The end of a review. The caller has locked the task, then the booking, which is in review. Approved: the
   saga captures. Rejected: the seats are free at once, since nobody can capture any more; the saga gives
   back what is reserved. */
create or replace function end_review(p_booking bookings, p_decision text, p_reason text, p_code text)
returns void language plpgsql as $$
begin
    if p_decision = 'approve' then
        perform secure_booking(p_booking.event_id, p_booking.id, p_booking.payment_id);
    else
        perform end_booking(p_booking.event_id, p_booking.id, '{review}', 'failed', p_code);
    end if;
    perform enqueue('advance', 'bookings', p_booking.id::text, jsonb_build_object(
        'event_id', p_booking.event_id, 'booking_id', p_booking.id), p_booking.event_id);
    insert into audit_log (actor, action, event_id, detail)
    values (coalesce(nullif(current_setting('usher.actor', true), ''), current_user), 'review ended',
        p_booking.event_id, jsonb_build_object('booking_id', p_booking.id,
            'payment_id', p_booking.payment_id, 'decision', p_decision, 'reason', p_reason,
            'reasons', p_booking.review_reasons));
end $$;

/* An organiser decides. p_scope: the caller's organisation, null for all. p_payment: the attempt that was
   looked at, null: whichever it is. outcome: 'done', or why not: 'no_booking', 'not_in_review',
   'other_payment'. */
create or replace function decide_review(
    p_event bigint, p_scope bigint, p_booking uuid, p_payment uuid, p_decision text, p_reason text,
    out outcome text, out booking_state text)
language plpgsql as $$
declare
    b bookings;
begin
    -- Task before booking, as the saga locks them.
    perform from outbox where actor = 'advance' and key = p_booking::text for update;
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state <> 'review' then 'not_in_review'
        when p_payment <> b.payment_id then 'other_payment'
        else 'done' end;
    if outcome = 'done' then
        perform end_review(b, p_decision, p_reason, 'review_rejected');
    end if;
    select state into booking_state from bookings where event_id = p_event and id = b.id;
end $$;

/* Reviews that nobody has decided in time, p_limit at most, as their organisations want them to end.
   Returns how many. */
create or replace function end_reviews(p_limit integer) returns integer
language plpgsql set jit = off as $$
declare
    due uuid[];
    b bookings;
    ended integer := 0;
begin
    due := array(select id from bookings where state = 'review' and review_until < clock_timestamp()
                 order by review_until limit p_limit);
    if cardinality(due) = 0 then
        return 0;
    end if;
    perform from outbox where actor = 'advance' and key = any (due::text[]) order by id for update;
    for b in
        select * from bookings
        where state = 'review' and review_until < clock_timestamp() and id = any (due)
        order by event_id, id for update skip locked
    loop
        perform end_review(b, o.review_ends, 'nobody decided in time', 'review_overdue')
        from organisations o where o.id = b.organisation_id;
        ended := ended + 1;
    end loop;
    return ended;
end $$;
