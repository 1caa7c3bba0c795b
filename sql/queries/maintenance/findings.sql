-- next_span --
-- The part of the state log to check next, a minute at most. All transactions that began before its end have
-- ended, so every row that is still to be written has a later time. Transactions of ten minutes or more are
-- not waited for. Those of other database users cannot be seen; they have %(slack)s to end.
SELECT a.until AS since, least(a.until + interval '1 min', n.bound) AS until, n.bound
FROM audits a CROSS JOIN LATERAL (
    SELECT least(clock_timestamp() - %(slack)s::interval, CASE WHEN min(xact_start) IS NOT NULL
            THEN greatest(min(xact_start), clock_timestamp() - interval '10 min') END) AS bound
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()) n
WHERE a.name = 'changes'

-- list_touched --
-- The buyers whose bookings, payments or refunds changed in that time, by event.
WITH log AS MATERIALIZED (
    SELECT DISTINCT event_id, noun, id FROM state_log WHERE at >= %(since)s AND at < %(until)s
), touched AS (
    SELECT event_id, id FROM log WHERE noun = 'booking'
    UNION
    SELECT p.event_id, p.booking_id FROM log JOIN payments p ON p.id = log.id WHERE noun = 'payment'
    UNION
    SELECT r.event_id, r.booking_id FROM log JOIN refunds r ON r.id = log.id WHERE noun = 'refund'
)
SELECT b.event_id, array_agg(DISTINCT b.buyer_id) AS buyers
FROM touched t JOIN bookings b ON b.event_id = t.event_id AND b.id = t.id
GROUP BY b.event_id ORDER BY b.event_id

-- move_on --
-- Records that this part of the log is checked, unless another worker has done so.
UPDATE audits SET until = %(until)s WHERE name = 'changes' AND until = %(since)s

-- begin_whole --
-- The invariants that the present whole audit has checked. An audit that was finished, or began a day ago,
-- begins anew.
UPDATE audits a
SET done = CASE WHEN n.anew THEN '{}' ELSE a.done END, slow = CASE WHEN n.anew THEN '{}' ELSE a.slow END,
    started_at = CASE WHEN n.anew THEN clock_timestamp() ELSE a.started_at END
FROM (SELECT done = '{}' OR done @> %(names)s::text[]
          OR started_at < clock_timestamp() - interval '20 h' AS anew
      FROM audits WHERE name = 'whole') n
WHERE a.name = 'whole'
RETURNING a.done

-- mark_done --
-- Records that an invariant was checked, or could not be checked in time.
UPDATE audits
SET done = array_append(done, %(invariant)s),
    slow = CASE WHEN %(slow)s THEN array_append(slow, %(invariant)s) ELSE slow END
WHERE name = 'whole'

-- list_slow --
-- The invariants that the last whole audit could not check in time.
SELECT slow FROM audits WHERE name = 'whole'

-- open_finding --
-- Adds a finding as a dead letter; no row: there is an open one.
INSERT INTO dead_letters (task_id, actor, queue, key, args, event_id, booking_id, buyer_id, reason, claims,
    errors, created_at)
VALUES (0, 'audit', 'audit', %(key)s, %(args)s, %(event_id)s, %(booking_id)s, %(buyer_id)s, %(reason)s, 0,
    '[]', clock_timestamp())
ON CONFLICT (key) WHERE actor = 'audit' AND resolved_at IS NULL DO NOTHING
RETURNING id

-- close_findings --
-- Closes findings that their invariant no longer returns.
UPDATE dead_letters SET resolved_at = clock_timestamp(), resolution = 'no longer so'
WHERE actor = 'audit' AND resolved_at IS NULL AND args ->> 'invariant' = %(invariant)s
    AND key <> ALL (%(keys)s)
RETURNING key

-- count_findings --
-- Open findings by invariant.
SELECT args ->> 'invariant' AS invariant, count(*) AS findings
FROM dead_letters WHERE actor = 'audit' AND resolved_at IS NULL
GROUP BY 1 ORDER BY 1

-- booking_under_way_forgotten --
-- Adds the task of a booking again.
SELECT enqueue('advance', 'payments', id::text,
    jsonb_build_object('event_id', event_id, 'booking_id', id), event_id)
FROM bookings
WHERE event_id = %(event_id)s AND id = %(booking_id)s
    AND state IN ('authorising', 'expiring', 'secured')

-- payment_forgotten --
-- Adds the task that finds out a payment's outcome again.
SELECT enqueue('advance', 'payments', booking_id::text,
    jsonb_build_object('event_id', event_id, 'booking_id', booking_id), event_id)
FROM payments WHERE id = %(payment_id)s AND state IN ('intended', 'authorised', 'unknown')

-- refund_forgotten --
-- Adds the task of a refund again.
SELECT enqueue('refund', 'payments', id::text, jsonb_build_object('event_id', event_id, 'booking_id',
    booking_id, 'refund_id', id), event_id)
FROM refunds WHERE id = %(refund_id)s AND state = 'pending'

-- email_forgotten --
-- Adds the task that sends a mail again.
SELECT enqueue('send_email', 'mail', NULL, jsonb_build_object('email_id', id), event_id)
FROM emails m
WHERE id = %(email_id)s AND state = 'pending'
    AND NOT EXISTS (SELECT FROM outbox o
                    WHERE o.actor = 'send_email' AND o.args ->> 'email_id' = m.id::text)

-- stalled_for_ever --
-- Makes the lane ready again.
INSERT INTO lane_wakes (event_id) VALUES (%(event_id)s)

-- standby_without_hope --
-- Wakes the lane's standby entries; one wake is enough for all of them.
INSERT INTO lane_wakes (event_id)
SELECT %(event_id)s WHERE NOT EXISTS (SELECT FROM lane_wakes WHERE event_id = %(event_id)s)

-- buyer_counted_wrongly --
-- Counts a buyer's seats anew.
SELECT recount_buyer(%(event_id)s, %(buyer_id)s)
