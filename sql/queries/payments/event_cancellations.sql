-- start_cancellation --
-- Cancels an event for good; a task cancels its bookings.
SELECT start_cancellation(%(event_id)s, %(scope)s, %(reason)s, %(with_fees)s) AS outcome

-- lock_sale --
-- Waits until all transactions that saw the event on sale have ended.
SELECT lock_sale(%(event_id)s, true)

-- count_waiting --
-- Refunds of an event that are soon to be sent to the gateway.
SELECT count(*) AS waiting FROM outbox
WHERE actor = 'refund' AND event_id = %(event_id)s
    AND run_at < clock_timestamp() + interval '5 min'

-- cancel_batch --
-- Cancels a batch of bookings.
SELECT taken, under_way FROM cancel_batch(%(event_id)s, %(limit)s, %(spread)s)

-- get_cancellation --
-- The progress of an event cancellation. bookings: those that were confirmed; cancelled: how many of them
-- are cancelled. A refund that was tried again counts once.
SELECT c.event_id, c.reason, c.with_fees, c.requested_by, c.requested_at, c.finished_at,
    b.bookings, b.cancelled, r.requested, r.pending, r.succeeded, r.failed, r.amount, r.owed
FROM event_cancellations c
JOIN events e ON e.id = c.event_id
CROSS JOIN LATERAL (
    SELECT count(*) AS bookings, count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM bookings
    WHERE event_id = c.event_id AND confirmed_at IS NOT NULL
        AND (booking_is_sold(state) OR reason = 'event_cancelled')) b
CROSS JOIN LATERAL (
    SELECT count(*) AS requested,
        count(*) FILTER (WHERE state = 'pending') AS pending,
        count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        coalesce(sum(amount), 0)::bigint AS amount,
        coalesce(sum(amount) FILTER (WHERE state = 'failed' AND settled_at IS NULL), 0)::bigint AS owed
    FROM refunds
    WHERE event_id = c.event_id AND cause = 'event_cancelled' AND retried_by IS NULL) r
WHERE c.event_id = %(event_id)s AND (%(scope)s::bigint IS NULL OR e.organisation_id = %(scope)s)
