-- request_refund --
-- Refunds tickets or an amount: voids tickets, returns seats, writes the refund and its task.
SELECT * FROM request_refund(%(event_id)s, %(scope)s, %(booking_id)s, %(tickets)s::uuid[], %(amount)s,
    %(with_fees)s, %(reason)s, %(resell)s, 'asked')

-- get_balance --
-- The money of a booking: captured, refunded, refundable and owed. No row: it is not within the scope.
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
-- Refunds of an event or of one booking, or one refund alone; the latest first, after the given one.
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
-- Settles an owed refund, or tries it again.
SELECT * FROM settle_owed(%(event_id)s, %(scope)s, %(booking_id)s, %(refund_id)s, %(settlement)s)

-- get_progress --
-- The progress of a refund, which is locked.
SELECT r.id AS refund_id, r.event_id, r.booking_id, r.state, r.cause, r.amount, r.currency, r.params,
    r.idempotency_n, r.gateway_ref, p.gateway_ref AS payment_gateway_ref,
    a.real_account_id AS gateway_account_id, a.provider,
    coalesce(r.first_sent_at < clock_timestamp() - %(key_trusted)s::interval, false) AS key_too_old,
    r.first_sent_at IS NOT NULL AND r.updated_at > clock_timestamp() - %(on_its_way)s::interval AS just_sent
FROM refunds r
JOIN payments p ON p.id = r.payment_id
JOIN gateway_accounts a ON a.id = p.gateway_account_id
WHERE r.id = %(refund_id)s
FOR UPDATE OF r

-- mark_sent --
-- Records, before the gateway is called, that a refund is sent: its outcome may be unknown from now on.
UPDATE refunds
SET first_sent_at = coalesce(first_sent_at, clock_timestamp()), updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND state = 'pending' AND gateway_ref IS NULL

-- use_next_key --
-- Changes the idempotency key: the gateway has done nothing under the present one.
UPDATE refunds
SET idempotency_n = idempotency_n + 1, first_sent_at = NULL, updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND idempotency_n = %(idempotency_n)s AND state = 'pending'
    AND gateway_ref IS NULL

-- record --
-- Records what the gateway says about a refund, if its state is the one that was read.
UPDATE refunds
SET state = %(state)s, gateway_ref = coalesce(%(gateway_ref)s, gateway_ref),
    failure_code = %(failure_code)s, failure_message = %(failure_message)s,
    updated_at = clock_timestamp()
WHERE id = %(refund_id)s AND state = %(expected)s
RETURNING id

-- lock_booking --
-- Locks a refund's booking before the refund is recorded as failed: no dispute is decided meanwhile.
SELECT FROM bookings WHERE event_id = %(event_id)s AND id = %(booking_id)s FOR UPDATE

-- settle_by_disputes --
-- Settles owed refunds by lost disputes.
SELECT settle_by_disputes(event_id, payment_id) FROM refunds WHERE id = %(refund_id)s

-- is_owed --
-- Tells whether a failed refund is owed: it was not settled.
SELECT settled_at IS NULL AS owed FROM refunds WHERE id = %(refund_id)s

-- adopt_refund --
-- Adopts a refund that was made in the gateway's dashboard.
SELECT outcome FROM adopt_refund(%(event_id)s, %(payment_id)s, %(gateway_ref)s, %(state)s, %(amount)s,
    %(currency)s)

-- tell_of_refund --
-- Writes a mail to the buyer about a refund.
SELECT tell_of_refund(%(event_id)s, %(refund_id)s, %(template)s)
