-- find_payment --
-- What the organiser said about an offline payment; no row: nothing yet.
SELECT cancelled_at, reference, amount, currency FROM offline_payments WHERE payment_id = %(payment_id)s

-- cancel --
-- Gives an offline payment up, unless it was marked as paid before.
INSERT INTO offline_payments (payment_id, gateway_account_id, cancelled_at)
VALUES (%(payment_id)s, %(gateway_account_id)s, clock_timestamp())
ON CONFLICT (payment_id) DO NOTHING

-- find_refund --
-- One row if the organiser marked the refund as paid.
SELECT paid_at FROM offline_refunds WHERE refund_id = %(refund_id)s

-- record_offline_payment --
-- Marks a booking as paid, for an organiser.
SELECT outcome, payment_id, late, amount, currency
FROM record_offline_payment(%(event_id)s, %(scope)s, %(booking_id)s, %(reference)s, %(amount)s,
    %(currency)s)

-- record_offline_refund --
-- Marks a refund as paid, for an organiser.
SELECT record_offline_refund(%(event_id)s, %(scope)s, %(booking_id)s, %(refund_id)s, %(how)s) AS outcome

-- list_payments --
-- Offline payments of an event, the latest first, after the given one. code: letters and digits that
-- contain the booking code.
SELECT p.id, p.booking_id, b.code AS booking_code, b.state AS booking_state, p.state, p.amount,
    p.currency, b.deadline AS due_at, o.reference, o.received_at, o.recorded_by
FROM payments p
JOIN bookings b ON b.event_id = p.event_id AND b.id = p.booking_id
LEFT JOIN offline_payments o ON o.payment_id = p.id
WHERE p.event_id = %(event_id)s AND p.method = 'offline'
    AND (%(code)s::text IS NULL OR position(b.code IN %(code)s) > 0)
    AND (NOT %(waiting)s OR p.state = 'requires_action' AND o.reference IS NULL)
    AND (%(starting_after)s::uuid IS NULL OR p.id < %(starting_after)s)
ORDER BY p.id DESC LIMIT %(limit)s
