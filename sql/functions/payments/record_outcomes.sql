/* Records what the gateway says about payments, where the state is still the one that was read. p_outcomes: an
   object for each, with payment_id, that state (expected), the new one and what the gateway said. Returns the
   payments that were recorded. */
create or replace function record_outcomes(p_outcomes jsonb) returns setof uuid
language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
begin
    perform from payments
    where id = any (array(select (o ->> 'payment_id')::uuid from jsonb_array_elements(p_outcomes) o))
    order by id for update;
    return query
    update payments p
    set state = o.state, gateway_ref = coalesce(o.gateway_ref, p.gateway_ref), captured = o.captured,
        captured_currency = case when o.captured > 0 and p.currency <> o.currency then o.currency end,
        next_action = o.next_action, client_secret = o.client_secret,
        failure_code = o.failure_code, failure_message = o.failure_message,
        card_fingerprint = coalesce(o.card_fingerprint, p.card_fingerprint),
        card_last4 = coalesce(o.card_last4, p.card_last4),
        card_country = coalesce(o.card_country, p.card_country),
        card_checks = coalesce(o.card_checks, p.card_checks),
        risk_level = coalesce(o.risk_level, p.risk_level),
        risk_score = coalesce(o.risk_score, p.risk_score),
        risk_message = coalesce(o.risk_message, p.risk_message),
        gateway_review = p.gateway_review or o.gateway_review,
        capture_before = coalesce(o.capture_before, p.capture_before),
        authorised_at = case when o.authorised then coalesce(p.authorised_at, clock_timestamp())
            else p.authorised_at end,
        updated_at = clock_timestamp()
    from jsonb_to_recordset(p_outcomes) o (
        payment_id uuid, expected text, state text, authorised boolean, gateway_ref text, captured bigint,
        currency text, next_action jsonb, client_secret text, failure_code text, failure_message text,
        card_fingerprint text, card_last4 smallint, card_country text, card_checks jsonb, risk_level text,
        risk_score smallint, risk_message text, gateway_review boolean, capture_before timestamptz)
    where p.id = o.payment_id and p.state = o.expected
    returning p.id;
end $$;
