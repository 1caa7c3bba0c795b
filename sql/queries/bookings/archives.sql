-- list_due --
-- Events that ended long enough ago and have no open business.
SELECT id AS event_id FROM events
WHERE archived_at IS NULL AND state <> 'draft'
    AND greatest(starts_at, off_sale_at) < clock_timestamp() - make_interval(days => %(days)s)
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.actor = 'archive_event' AND o.key = events.id::text)
    AND open_business(id) IS NULL
ORDER BY greatest(starts_at, off_sale_at) LIMIT %(limit)s

-- archive_piece --
-- Archives a piece of an event.
SELECT moved, done, why FROM archive_piece(%(event_id)s, make_interval(days => %(days)s), %(limit)s)

-- restore_payment --
-- Restores the booking of a payment that a notification is about.
SELECT restore_payment(%(payment_id)s, %(gateway_ref)s, %(account)s, %(signer)s) AS restored

-- restore_booking --
-- Restores a booking.
SELECT restore_booking(%(event_id)s, %(booking_id)s) AS restored
