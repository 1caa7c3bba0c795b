-- take_notification --
-- Stored once. If it is news about how a payment of ours goes, the task that looks at it is enqueued
-- with it, or the one that returns money of a payment that had failed; refunds and disputes are only
-- stored. No row when it was known already.
WITH mine AS (
    SELECT id, event_id, booking_id, state FROM payments
    WHERE id = %(payment_id)s::uuid
    UNION
    SELECT id, event_id, booking_id, state FROM payments
    WHERE gateway_id = %(gateway_id)s
        AND gateway_account_id = ANY (ARRAY(SELECT id FROM gateway_accounts WHERE provider = 'stripe'))
    LIMIT 1
), stored AS (
    INSERT INTO webhook_inbox (id, type, payment_id, payload)
    SELECT %(id)s, %(type)s, (SELECT id FROM mine), %(payload)s
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
SELECT mine.id AS payment_id, CASE
    WHEN mine.id IS NULL OR %(money_back)s OR mine.state = %(says)s THEN NULL
    WHEN mine.state NOT IN ('failed', 'voided') THEN enqueue('advance', 'bookings',
        mine.booking_id::text,
        jsonb_build_object('event_id', mine.event_id, 'booking_id', mine.booking_id), mine.event_id)
    WHEN %(says)s IN ('authorised', 'captured') THEN enqueue('return_stray', 'bookings',
        mine.id::text, jsonb_build_object('event_id', mine.event_id, 'booking_id', mine.booking_id,
            'payment_id', mine.id), mine.event_id)
    END AS enqueued
FROM stored LEFT JOIN mine ON true
