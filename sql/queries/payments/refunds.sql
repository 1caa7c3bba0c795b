-- request_refund --
-- Tickets void, seats back, the refund and its task written.
SELECT * FROM request_refund(%(event_id)s, %(scope)s, %(booking_id)s, %(tickets)s::uuid[], %(amount)s,
    %(with_fees)s, %(reason)s, %(resell)s)

-- get_balance --
-- What was taken for a booking, and what became of it. No row: it is not the caller's.
SELECT b.state AS booking_state, b.currency,
    coalesce(sum(p.captured), 0)::bigint AS captured,
    coalesce(sum(p.refunded), 0)::bigint AS refunded,
    coalesce(sum(refundable(p.event_id, p.id)), 0)::bigint AS available,
    (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r
     WHERE r.event_id = b.event_id AND r.booking_id = b.id AND r.state = 'failed'
         AND r.retried_by IS NULL AND r.settled_at IS NULL) AS owed
FROM bookings b LEFT JOIN payments p ON p.event_id = b.event_id AND p.booking_id = b.id
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s
    AND (%(scope)s::bigint IS NULL OR b.organisation_id = %(scope)s)
GROUP BY b.event_id, b.id

-- list_refunds --
-- Of an event, a booking of it, or one alone, latest first, from the one given on.
SELECT r.id, r.booking_id, r.amount, r.currency, r.state, r.cause, r.reason, r.requested_by, r.gateway_ref,
    r.failure_code, r.failure_message, r.retried_by, r.settled_at, r.settlement, r.created_at,
    r.updated_at,
    r.state = 'failed' AND r.retried_by IS NULL AND r.settled_at IS NULL AS owed,
    array(SELECT s.guid FROM refund_items i
          JOIN events e ON e.id = i.event_id
          JOIN plan_seats s ON s.plan_version_id = e.plan_version_id AND s.seat = i.seat
          WHERE i.refund_id = r.id ORDER BY s.seat) AS seats
FROM refunds r
WHERE r.event_id = %(event_id)s
    AND (%(booking_id)s::uuid IS NULL OR r.booking_id = %(booking_id)s)
    AND (%(refund_id)s::uuid IS NULL OR r.id = %(refund_id)s)
    AND (%(starting_after)s::uuid IS NULL OR r.id < %(starting_after)s)
    AND (NOT %(owed)s OR r.state = 'failed' AND r.retried_by IS NULL AND r.settled_at IS NULL)
ORDER BY r.id DESC LIMIT %(limit)s

-- settle_owed --
-- A refund that failed is tried anew, or was paid otherwise.
SELECT * FROM settle_owed(%(event_id)s, %(scope)s, %(booking_id)s, %(refund_id)s, %(settlement)s)

-- get_progress --
-- How far a refund has come, locked.
SELECT r.id AS refund_id, r.event_id, r.booking_id, r.state, r.cause, r.amount, r.currency, r.params,
    r.idempotency_n, r.gateway_ref, p.gateway_ref AS payment_gateway_ref, p.gateway_account_id,
    a.provider,
    coalesce(r.first_sent_at < clock_timestamp() - %(key_trusted)s::interval, false) AS key_too_old,
    r.first_sent_at IS NOT NULL AND r.updated_at > clock_timestamp() - %(on_its_way)s::interval AS just_sent
FROM refunds r
JOIN payments p ON p.id = r.payment_id
JOIN gateway_accounts a ON a.id = p.gateway_account_id
WHERE r.id = %(refund_id)s
FOR UPDATE OF r

-- mark_sent --
-- Recorded before the gateway is called: from now on its outcome may be unknown to us.
UPDATE refunds
SET first_sent_at = coalesce(first_sent_at, clock_timestamp()), updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND state = 'pending' AND gateway_ref IS NULL

-- use_next_key --
-- The key's fate is known to be nothing: the next attempt is sent under a new one.
UPDATE refunds
SET idempotency_n = idempotency_n + 1, first_sent_at = NULL, updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND idempotency_n = %(idempotency_n)s AND state = 'pending'
    AND gateway_ref IS NULL

-- record --
-- What the gateway says the refund is, unless it has moved on since we read it.
UPDATE refunds
SET state = %(state)s, gateway_ref = coalesce(%(gateway_ref)s, gateway_ref),
    failure_code = %(failure_code)s, failure_message = %(failure_message)s,
    updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND state = %(expected)s
RETURNING id

-- lock_booking --
-- Before a refund is written down as failed: no dispute of its booking is decided meanwhile.
SELECT FROM bookings WHERE event_id = %(event_id)s AND id = %(booking_id)s FOR UPDATE

-- settle_by_disputes --
-- What a lost dispute has taken is not owed.
SELECT settle_by_disputes(event_id, payment_id) FROM refunds WHERE id = %(refund_id)s

-- is_owed --
-- Whether a refund that failed was not paid otherwise.
SELECT settled_at IS NULL AS owed FROM refunds WHERE id = %(refund_id)s

-- adopt_refund --
-- A refund that was made at the gateway, past us.
SELECT outcome FROM adopt_refund(%(event_id)s, %(payment_id)s, %(gateway_ref)s, %(state)s, %(amount)s,
    %(currency)s)

-- tell_of_refund --
-- A mail to the buyer about it.
SELECT tell_of_refund(%(event_id)s, %(refund_id)s, %(template)s)
