-- is_recent --
-- The clock of a web process may be wrong.
SELECT to_timestamp(%s) > clock_timestamp() - make_interval(secs => %s) AS recent

-- take_notification --
-- Stored once. If it is news about how a payment of ours goes, the task that looks at it is enqueued
-- with it, or the one that returns money of a payment that had failed; so are those of the refunds that
-- it is about, also of one that was made past us, and its dispute's; warnings of fraud are kept. A
-- charge's refunds are those that the gateway had not yet carried out. No row when it was known already. The payment is locked against being
-- archived: whoever does that either sees the task, or is waited for, and the payment is not found.
WITH mine AS (
    SELECT id, event_id, booking_id, state FROM payments
    WHERE id = ANY (ARRAY(
        SELECT id FROM payments WHERE id = %(payment_id)s::uuid
        UNION
        SELECT id FROM payments
        WHERE gateway_ref = %(gateway_ref)s AND gateway_account_id = ANY (ARRAY(
            SELECT id FROM gateway_accounts WHERE provider = 'stripe'))
        LIMIT 1))
    FOR KEY SHARE
), stored AS (
    INSERT INTO webhook_inbox (id, type, payment_id, payload)
    SELECT %(id)s, %(type)s, (SELECT id FROM mine), %(payload)s
    ON CONFLICT (id) DO NOTHING
    RETURNING id, type
), warned AS (
    INSERT INTO fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind, actionable)
    SELECT %(object_id)s, mine.id, mine.event_id, mine.booking_id,
        coalesce(%(payload)s::jsonb #>> '{data,object,fraud_type}', ''),
        coalesce((%(payload)s::jsonb #>> '{data,object,actionable}')::boolean, false)
    FROM stored, mine WHERE stored.type = 'radar.early_fraud_warning.created'
    ON CONFLICT (gateway_ref) DO NOTHING
), looked AS (
    SELECT r.* FROM refunds r, stored
    WHERE (r.id = %(refund_id)s::uuid OR r.gateway_ref = %(refund_gateway_ref)s)
        AND stored.type <> 'refund.created' AND r.state <> 'failed'
        AND r.state IS DISTINCT FROM %(refund_says)s
    UNION
    SELECT r.* FROM refunds r, stored, mine
    WHERE r.payment_id = mine.id AND stored.type = 'charge.refunded'
        AND r.state = 'pending' AND r.gateway_ref IS NOT NULL
), adopted AS (
    SELECT enqueue('adopt_refund', 'payments', %(refund_gateway_ref)s, jsonb_build_object(
        'event_id', mine.event_id, 'booking_id', mine.booking_id, 'payment_id', mine.id,
        'gateway_refund_id', %(refund_gateway_ref)s::text), mine.event_id)::text
    FROM stored, mine
    WHERE %(refund_gateway_ref)s IS NOT NULL AND %(refund_says)s IS DISTINCT FROM 'failed'
        AND NOT EXISTS (SELECT FROM refunds r
                        WHERE r.id = %(refund_id)s::uuid OR r.gateway_ref = %(refund_gateway_ref)s)
)
SELECT (SELECT count(enqueue('refund', 'payments', r.id::text, jsonb_build_object('event_id', r.event_id,
        'booking_id', r.booking_id, 'refund_id', r.id), r.event_id)::text) FROM looked r) AS refunds,
    (SELECT count(*) FROM adopted) AS adopted,
    CASE WHEN stored.type LIKE 'charge.dispute.%%' AND mine.id IS NOT NULL
        THEN enqueue('look_at_dispute', 'payments', %(object_id)s, jsonb_build_object(
            'event_id', mine.event_id, 'booking_id', mine.booking_id, 'payment_id', mine.id,
            'dispute_id', %(object_id)s::text), mine.event_id) END AS dispute,
    CASE WHEN stored.type = 'radar.early_fraud_warning.created' AND mine.id IS NOT NULL
        THEN enqueue('freeze_for_fraud_warning', 'payments', mine.id::text, jsonb_build_object('event_id',
            mine.event_id, 'booking_id', mine.booking_id, 'payment_id', mine.id), mine.event_id)
        END AS suspect,
    mine.id AS payment_id, CASE
    WHEN mine.id IS NULL OR %(money_back)s OR mine.state = %(says)s THEN NULL
    WHEN mine.state NOT IN ('failed', 'voided') THEN enqueue('advance', 'payments',
        mine.booking_id::text,
        jsonb_build_object('event_id', mine.event_id, 'booking_id', mine.booking_id), mine.event_id)
    WHEN %(says)s IN ('authorised', 'captured') THEN enqueue('stop_unexpected', 'payments',
        mine.id::text, jsonb_build_object('event_id', mine.event_id, 'booking_id', mine.booking_id,
            'payment_id', mine.id), mine.event_id)
    END AS enqueued
FROM stored LEFT JOIN mine ON true

-- take_back --
-- As if it had not been stored.
DELETE FROM webhook_inbox WHERE id = %(id)s
