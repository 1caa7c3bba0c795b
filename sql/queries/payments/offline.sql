-- find_payment --
-- What the organiser said about an offline payment; no row: nothing yet.
SELECT cancelled_at, reference, amount, currency FROM offline_payments WHERE payment_id = %(payment_id)s

-- give_up_offline --
-- Gives an offline payment up, unless it was marked as paid before.
SELECT give_up_offline(%(event_id)s, %(payment_id)s)

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

-- record_transfer --
-- Records money of any amount that came for a booking.
SELECT outcome, transfer_id FROM record_transfer(%(event_id)s, %(scope)s, %(booking_id)s, %(reference)s,
    %(amount)s, %(currency)s)

-- decide_surplus --
-- Writes down what became of a transfer's surplus.
SELECT decide_surplus(%(event_id)s, %(scope)s, %(transfer_id)s, %(decision)s, %(how)s) AS outcome

-- get_transfer --
-- A transfer of an event, with what is still missing of its payment.
SELECT t.id, t.booking_id, b.code AS booking_code, b.state AS booking_state, t.payment_id, t.reference, t.amount,
    t.currency, t.surplus, t.decision, t.how, t.decided_at, t.decided_by, t.received_at, t.recorded_by,
    CASE WHEN o.payment_id IS NULL THEN p.amount - (
        SELECT sum(x.amount - x.surplus) FROM transfers x WHERE x.payment_id = p.id)::bigint ELSE 0 END AS missing
FROM transfers t
JOIN payments p ON p.id = t.payment_id
JOIN bookings b ON b.event_id = t.event_id AND b.id = t.booking_id
LEFT JOIN offline_payments o ON o.payment_id = p.id
WHERE t.event_id = %(event_id)s AND t.id = %(transfer_id)s

-- list_transfers --
-- Transfers of an event, the latest first, after the given one, as get_transfer has them.
SELECT t.id, t.booking_id, b.code AS booking_code, b.state AS booking_state, t.payment_id, t.reference, t.amount,
    t.currency, t.surplus, t.decision, t.how, t.decided_at, t.decided_by, t.received_at, t.recorded_by,
    CASE WHEN o.payment_id IS NULL THEN p.amount - (
        SELECT sum(x.amount - x.surplus) FROM transfers x WHERE x.payment_id = p.id)::bigint ELSE 0 END AS missing
FROM transfers t
JOIN payments p ON p.id = t.payment_id
JOIN bookings b ON b.event_id = t.event_id AND b.id = t.booking_id
LEFT JOIN offline_payments o ON o.payment_id = p.id
WHERE t.event_id = %(event_id)s AND (NOT %(undecided)s OR t.surplus > 0 AND t.decision IS NULL)
    AND (%(starting_after)s::uuid IS NULL OR t.id < %(starting_after)s)
ORDER BY t.id DESC LIMIT %(limit)s

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
