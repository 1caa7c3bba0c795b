-- list_reviews --
-- Bookings of an event in review: those with the earliest end first, after the given one.
SELECT b.id, b.code, b.buyer_id, b.quantity, b.total, b.currency, b.review_until AS decide_by,
    b.review_reasons AS reasons, b.created_at,
    jsonb_build_object('id', p.id, 'card_fingerprint', p.card_fingerprint,
        'card_country', p.card_country, 'card_checks', p.card_checks, 'risk_level', p.risk_level,
        'risk_score', p.risk_score, 'message', p.risk_message) AS payment
FROM bookings b JOIN payments p ON p.id = b.payment_id
WHERE b.event_id = %(event_id)s AND b.state = 'review'
    AND (%(starting_after)s::uuid IS NULL OR (b.review_until, b.id) > (
        SELECT a.review_until, a.id FROM bookings a
        WHERE a.event_id = %(event_id)s AND a.id = %(starting_after)s))
ORDER BY b.review_until, b.id LIMIT %(limit)s

-- decide_review --
-- Approves or rejects a payment, for an organiser; the saga captures or voids it.
SELECT outcome, booking_state
FROM decide_review(%(event_id)s, %(scope)s, %(booking_id)s, %(payment_id)s, %(decision)s, %(reason)s)

-- end_reviews --
-- Ends reviews that were not decided in time.
SELECT end_reviews(%(limit)s) AS ended

-- get_settings --
-- The review settings of an organisation, with its rules.
SELECT o.review_seconds, o.review_ends,
    (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.rule) FROM review_rules_of(o.id) r) AS rules
FROM organisations o WHERE o.id = %(organisation_id)s

-- change_settings --
-- Changes the given settings; a review that has begun keeps its end.
UPDATE organisations
SET review_seconds = coalesce(%(review_seconds)s, review_seconds),
    review_ends = coalesce(%(review_ends)s, review_ends)
WHERE id = %(organisation_id)s
RETURNING id

-- set_rule --
-- Sets a rule of an organisation.
INSERT INTO review_rules (organisation_id, rule, window_seconds, most, action)
SELECT id, %(rule)s, %(window_seconds)s, %(most)s, %(action)s
FROM organisations WHERE id = %(organisation_id)s
ON CONFLICT (organisation_id, rule) DO UPDATE
SET window_seconds = excluded.window_seconds, most = excluded.most, action = excluded.action
RETURNING rule
