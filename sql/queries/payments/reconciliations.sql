-- start_reconciliations --
-- Begins runs over a window, with their tasks.
SELECT coalesce(start_reconciliations(%(cause)s, %(from)s, %(to)s), '{}') AS ids

-- start_back --
-- Begins runs over a window that ends now.
SELECT coalesce(start_reconciliations(%(cause)s, clock_timestamp() - %(back)s::interval,
    clock_timestamp()), '{}') AS ids

-- get_run --
-- The progress of a run.
SELECT r.id, r.gateway_account_id, a.provider, r.window_from, r.window_to, r.state, r.phase, r.cursor
FROM reconciliations r JOIN gateway_accounts a ON a.id = r.gateway_account_id
WHERE r.id = %(id)s

-- move_on --
-- Moves a run to the next page or phase, if no other worker has done so.
UPDATE reconciliations
SET phase = %(next_phase)s, cursor = %(next_cursor)s, checked = checked + %(checked)s,
    foreign_objects = foreign_objects + %(foreign)s
WHERE id = %(id)s AND state = 'running' AND phase = %(phase)s AND cursor IS NOT DISTINCT FROM %(cursor)s
RETURNING id

-- mark_seen --
-- Records the ids that the gateway has, for the phases that read the tables.
INSERT INTO reconciliation_seen (reconciliation_id, gateway_ref)
SELECT %(id)s, unnest(%(gateway_ids)s::text[]) ON CONFLICT DO NOTHING

-- compare_payments --
-- Compares a page of the gateway's payments.
SELECT note_differences(%(id)s, array(SELECT d FROM compare_payments(%(account)s, %(there)s) d))

-- compare_refunds --
-- Compares a page of the gateway's refunds.
SELECT note_differences(%(id)s, array(SELECT d FROM compare_refunds(%(account)s, %(there)s) d))

-- compare_disputes --
-- Compares a page of the gateway's disputes.
SELECT note_differences(%(id)s, array(SELECT d FROM compare_disputes(%(account)s, %(there)s) d))

-- compare_ours --
-- Records differences for objects that the gateway does not know, or that were never sent to it.
SELECT note_differences(%(id)s, array(SELECT d FROM compare_ours(%(phase)s, %(ids)s) d))

-- add_totals --
-- Adds a page's captured and refunded money of both sides to the run's totals.
SELECT add_totals(%(id)s, %(account)s, %(phase)s, %(there)s)

-- list_our_payments --
-- Payments of a block of a thousand in the window that were sent, may have money, and were not seen at the
-- gateway; and the last id of the block; null: it was the last block.
WITH block AS (
    SELECT p.id, p.state, p.gateway_ref, p.captured, p.gateway_account_id, p.first_sent_at
    FROM payments p
    WHERE p.id > coalesce(%(cursor)s::uuid, uuid7_at(%(from)s)) AND p.id < uuid7_at(%(to)s)
    ORDER BY p.id LIMIT 1000
), unseen AS (
    SELECT b.id, b.gateway_ref FROM block b
    WHERE b.gateway_account_id = ANY (ARRAY(SELECT same_gateway_accounts(%(account)s)))
        AND (b.captured > 0 OR b.state IN ('requires_action', 'processing', 'authorised', 'captured')
            OR b.state IN ('intended', 'unknown') AND b.first_sent_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM reconciliation_seen s
                        WHERE s.reconciliation_id = %(id)s AND s.gateway_ref = b.gateway_ref)
    ORDER BY b.id LIMIT %(lookups)s
)
SELECT coalesce((SELECT jsonb_agg(jsonb_build_object('id', id, 'gateway_ref', gateway_ref) ORDER BY id)
        FROM unseen), '[]') AS unseen,
    CASE WHEN (SELECT count(*) FROM unseen) = %(lookups)s THEN (SELECT id FROM unseen ORDER BY id DESC LIMIT 1)
        WHEN (SELECT count(*) FROM block) = 1000 THEN (SELECT id FROM block ORDER BY id DESC LIMIT 1)
    END AS next_cursor

-- list_our_refunds --
-- The same for refunds that have succeeded or may succeed.
WITH block AS (
    SELECT r.id, r.state, r.gateway_ref, r.payment_id FROM refunds r
    WHERE r.id > coalesce(%(cursor)s::uuid, uuid7_at(%(from)s)) AND r.id < uuid7_at(%(to)s)
    ORDER BY r.id LIMIT 1000
), unseen AS (
    SELECT b.id, b.gateway_ref FROM block b JOIN payments p ON p.id = b.payment_id
    WHERE p.gateway_account_id = ANY (ARRAY(SELECT same_gateway_accounts(%(account)s))) AND b.state IN ('pending', 'succeeded')
        AND NOT EXISTS (SELECT FROM reconciliation_seen s
                        WHERE s.reconciliation_id = %(id)s AND s.gateway_ref = b.gateway_ref)
    ORDER BY b.id LIMIT %(lookups)s
)
SELECT coalesce((SELECT jsonb_agg(jsonb_build_object('id', id, 'gateway_ref', gateway_ref) ORDER BY id)
        FROM unseen), '[]') AS unseen,
    CASE WHEN (SELECT count(*) FROM unseen) = %(lookups)s THEN (SELECT id FROM unseen ORDER BY id DESC LIMIT 1)
        WHEN (SELECT count(*) FROM block) = 1000 THEN (SELECT id FROM block ORDER BY id DESC LIMIT 1)
    END AS next_cursor

-- list_our_disputes --
-- The same for open disputes.
WITH unseen AS (
    SELECT d.gateway_ref FROM disputes d JOIN payments p ON p.id = d.payment_id
    WHERE d.created_at >= %(from)s AND d.created_at < %(to)s AND is_open(d.state)
        AND p.gateway_account_id = ANY (ARRAY(SELECT same_gateway_accounts(%(account)s))) AND d.gateway_ref > coalesce(%(cursor)s, '')
        AND NOT EXISTS (SELECT FROM reconciliation_seen s
                        WHERE s.reconciliation_id = %(id)s AND s.gateway_ref = d.gateway_ref)
    ORDER BY d.gateway_ref LIMIT %(lookups)s
)
SELECT coalesce((SELECT jsonb_agg(jsonb_build_object('id', gateway_ref, 'gateway_ref', gateway_ref)
        ORDER BY gateway_ref) FROM unseen), '[]') AS unseen,
    CASE WHEN (SELECT count(*) FROM unseen) = %(lookups)s
        THEN (SELECT gateway_ref FROM unseen ORDER BY gateway_ref DESC LIMIT 1) END AS next_cursor

-- finish_reconciliation --
-- Finishes a run, and resolves the differences that it did not see again.
SELECT finish_reconciliation(%(id)s)

-- list_runs --
-- Runs with their totals by currency: the latest first, after the given one, or one alone.
SELECT r.id, r.gateway_account_id, r.cause, r.requested_by, r.window_from, r.window_to, r.state, r.phase,
    r.checked, r.foreign_objects, r.differences, r.repairs, r.dead_letters, r.started_at, r.finished_at,
    coalesce((SELECT jsonb_agg(jsonb_build_object('currency', t.currency,
            'captured_here', t.captured_here, 'captured_there', t.captured_there,
            'refunded_here', t.refunded_here, 'refunded_there', t.refunded_there) ORDER BY t.currency)
        FROM reconciliation_totals t WHERE t.reconciliation_id = r.id), '[]') AS totals
FROM reconciliations r
WHERE (%(id)s::bigint IS NULL OR r.id = %(id)s)
    AND (%(starting_after)s = 0 OR r.id < %(starting_after)s)
ORDER BY r.id DESC LIMIT %(limit)s

-- list_differences --
-- Differences that a run found or saw again, or all differences; the latest first, after the given one.
SELECT d.id, d.kind, d.subject, d.made_at, d.event_id, d.booking_id, d.payment_id, d.here, d.there,
    d.repair, d.repairs, d.dead_letter_id, d.found_by, d.found_at, d.seen_by, d.seen_at, d.resolved_at
FROM reconciliation_differences d
WHERE (%(run)s::bigint IS NULL OR d.found_by = %(run)s OR d.seen_by = %(run)s)
    AND (NOT %(open)s OR d.resolved_at IS NULL)
    AND (%(starting_after)s = 0 OR d.id < %(starting_after)s)
ORDER BY d.id DESC LIMIT %(limit)s
