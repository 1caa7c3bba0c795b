-- start_payment --
-- Starts a payment: writes the attempt and its task.
SELECT * FROM start_payment(%(event_id)s, %(booking_id)s, %(buyer_id)s, %(payment_method)s,
    %(return_url)s, %(method)s, %(address_hash)s)

-- list_progress --
-- The progress of bookings and of an attempt to pay: the latest of each, unless another is given.
SELECT * FROM list_progress(%(event_ids)s, %(booking_ids)s, %(payment_ids)s, %(key_trusted)s,
    %(on_its_way)s, %(lapses_soon)s, %(charge_late)s, %(seats_wait)s)

-- mark_sent --
-- Records, before the gateway is called, that an attempt is sent: its outcome may be unknown from now on.
SELECT mark_sent(ARRAY[%(event_id)s::bigint], ARRAY[%(payment_id)s::uuid])

-- record_outcomes --
-- Records what the gateway says about payments, where the state is the one that was read.
SELECT record_outcomes(%(outcomes)s) AS payment_id

-- refund_unexpected --
-- Refunds an unexpected payment, and writes the mail to the buyer.
SELECT refund_unexpected(%(event_id)s, %(payment_id)s, %(reason)s)

-- use_next_key --
-- Changes the idempotency key: the gateway has done nothing under the present one.
UPDATE payments
SET idempotency_n = idempotency_n + 1, first_sent_at = NULL, updated_at = clock_timestamp()
WHERE id = %(payment_id)s AND idempotency_n = %(idempotency_n)s AND state IN ('intended', 'unknown')

-- secure_booking --
-- Secures a booking: its seats can no longer expire.
SELECT secure_booking(%(event_id)s, %(booking_id)s, %(payment_id)s) AS done

-- secure_or_review --
-- Secures a booking, or begins a review of its payment.
SELECT secure_or_review(%(event_id)s, %(booking_id)s, %(payment_id)s) AS became

-- confirm_bookings --
-- Confirms a booking: sells its seats, issues the tickets and writes the e-mail.
SELECT coalesce(cardinality(
    confirm_bookings(%(event_id)s, ARRAY[%(booking_id)s::uuid], ARRAY[%(payment_id)s::uuid])), 0) = 1 AS done

-- secure_group --
-- Records authorised payments and secures their bookings, or begins their reviews.
SELECT payment_id, became FROM secure_group(%(outcomes)s)

-- issue_group --
-- Records captured payments and confirms their bookings.
SELECT issue_group(%(outcomes)s) AS payment_id

-- await_buyer --
-- Lets the seats of a secured booking expire again, while the buyer has to approve the charge.
SELECT await_buyer(%(event_id)s, %(booking_id)s, %(payment_id)s) AS done

-- reopen_booking --
-- Moves a booking back to held, for another attempt to pay.
SELECT reopen_booking(%(event_id)s, %(booking_id)s, %(payment_id)s) AS done

-- end_booking --
-- Ends a booking: releases its seats and tells the buyer.
SELECT end_booking(%(event_id)s, %(booking_id)s, %(from_states)s, %(state)s, %(reason)s) AS done

-- list_doubts --
-- Payments in doubt that have not changed for a while; the latest first, after the given one. Not in doubt
-- are a payment that waits for the buyer within the booking's time, a payment in review within the review's
-- time, and a debit that has no dead letter yet: a bank may take days.
SELECT p.id, p.event_id, p.booking_id, b.code AS booking_code, b.state AS booking_state, b.buyer_id,
    p.state, p.amount, p.currency, p.gateway_ref, p.created_at, p.updated_at, (
        SELECT o.id FROM outbox o
        WHERE o.actor = 'advance' AND o.key = b.id::text) AS task_id, (
        SELECT min(d.id) FROM dead_letters d
        WHERE d.booking_id = b.id AND d.resolved_at IS NULL) AS dead_letter
FROM payments p JOIN bookings b ON b.event_id = p.event_id AND b.id = p.booking_id
WHERE payment_is_open(p.state)
    AND p.updated_at < clock_timestamp() - make_interval(secs => %(older_than)s)
    AND (p.state <> 'requires_action' OR b.deadline < clock_timestamp()) AND b.state <> 'review'
    AND (p.state <> 'processing' OR EXISTS (
        SELECT FROM dead_letters d WHERE d.booking_id = b.id AND d.resolved_at IS NULL))
    AND (%(starting_after)s::uuid IS NULL OR p.id < %(starting_after)s)
ORDER BY p.id DESC LIMIT %(limit)s
