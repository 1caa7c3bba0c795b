-- find_case --
-- The payment of a dispute, and its gateway account.
SELECT p.event_id, p.id AS payment_id, a.real_account_id AS gateway_account_id, a.provider
FROM payments p JOIN gateway_accounts a ON a.id = p.gateway_account_id
WHERE p.id = %(payment_id)s

-- record_dispute --
-- Records the state of a dispute, and changes its booking.
SELECT outcome, booking_state
FROM record_dispute(%(event_id)s, %(payment_id)s, %(id)s, %(state)s, %(reason)s, %(amount)s,
    %(currency)s, %(respond_by)s)

-- freeze_for_fraud_warning --
-- Freezes the booking of a payment; null: the booking is being confirmed.
SELECT freeze_for_fraud_warning(%(event_id)s, %(payment_id)s) AS booking_state

-- dismiss_fraud_warning --
-- Dismisses a fraud warning for an organiser.
SELECT outcome, booking_state
FROM dismiss_fraud_warning(%(event_id)s, %(scope)s, %(booking_id)s, %(reason)s)

-- list_disputes --
-- Disputes of an event, the latest first, after the given one.
SELECT d.gateway_ref AS id, d.booking_id, b.code AS booking_code, b.state AS booking_state, d.payment_id,
    d.state, d.reason, d.amount, d.currency, d.respond_by, d.created_at, d.updated_at
FROM disputes d JOIN bookings b ON b.event_id = d.event_id AND b.id = d.booking_id
WHERE d.event_id = %(event_id)s
    AND (%(starting_after)s::text IS NULL OR (d.created_at, d.gateway_ref) < (
        SELECT a.created_at, a.gateway_ref FROM disputes a
        WHERE a.event_id = %(event_id)s AND a.gateway_ref = %(starting_after)s))
ORDER BY d.created_at DESC, d.gateway_ref DESC LIMIT %(limit)s

-- list_warnings --
-- Fraud warnings of an event, the latest first, after the given one.
SELECT w.gateway_ref AS id, w.booking_id, b.code AS booking_code, b.state AS booking_state, w.payment_id,
    w.kind, w.actionable, w.dismissed_at AS released_at, w.created_at
FROM fraud_warnings w JOIN bookings b ON b.event_id = w.event_id AND b.id = w.booking_id
WHERE w.event_id = %(event_id)s
    AND (%(starting_after)s::text IS NULL OR (w.created_at, w.gateway_ref) < (
        SELECT a.created_at, a.gateway_ref FROM fraud_warnings a
        WHERE a.event_id = %(event_id)s AND a.gateway_ref = %(starting_after)s))
ORDER BY w.created_at DESC, w.gateway_ref DESC LIMIT %(limit)s
