-- get_version --
-- The highest migration that was applied.
SELECT max(version) AS version FROM schema_version

-- count_queues --
-- Entries that wait, by lane, up to 10,000 each; of events that are on sale.
SELECT s.event_id, (
    SELECT count(*) FROM (
        SELECT FROM entries e
        WHERE e.event_id = s.event_id AND e.state = 'waiting' AND e.number >= s.low_water
        LIMIT 10000) x) AS waiting
FROM lane_state s JOIN events e ON e.id = s.event_id
WHERE e.state = 'on_sale' AND e.off_sale_at > clock_timestamp()
ORDER BY s.event_id DESC LIMIT 50

-- count_seats --
-- Seats by state, of events that are on sale.
SELECT s.event_id, s.state, count(*) AS seats
FROM seats s
WHERE s.event_id = ANY (ARRAY(
    SELECT id FROM events WHERE state = 'on_sale' AND off_sale_at > clock_timestamp()
    ORDER BY id DESC LIMIT 50))
GROUP BY s.event_id, s.state

-- count_tasks --
-- Durable tasks that are due and not leased, and the seconds since the oldest was due.
SELECT queue, actor, count(*) AS depth,
    extract(epoch FROM greatest(clock_timestamp() - min(run_at), interval '0'))::float8 AS age
FROM (SELECT queue, actor, run_at FROM outbox
      WHERE run_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until < clock_timestamp()) LIMIT 100000) o
GROUP BY queue, actor

-- count_dead_letters --
-- Open dead letters, and the age of the oldest.
SELECT actor, count(*) AS open,
    extract(epoch FROM greatest(clock_timestamp() - min(died_at), interval '0'))::float8 AS age
FROM dead_letters WHERE resolved_at IS NULL GROUP BY actor

-- count_doubts --
-- Payments in doubt that have not changed for five minutes. Not in doubt are a payment that waits for the
-- buyer within the booking's time, one in review within the review's time, and one that is charged at once:
-- it may take days.
SELECT count(*) AS payments
FROM payments p JOIN bookings b ON b.event_id = p.event_id AND b.id = p.booking_id
WHERE p.state IN ('intended', 'authorised', 'unknown') AND b.state <> 'review'
    AND p.updated_at < clock_timestamp() - interval '5 min'

-- list_outages --
-- Gateways that cannot be used, since when, and whether they do not accept our key.
SELECT o.gateway_account_id, o.reason,
    extract(epoch FROM greatest(clock_timestamp() - o.opened_at, interval '0'))::float8 AS age
FROM outages o JOIN gateway_accounts a ON a.id = o.gateway_account_id
WHERE o.closed_at IS NULL AND a.real_account_id = a.id

-- measure_server --
-- The database's size, the age of the oldest database snapshot (vacuum cannot remove rows that died after
-- it), and how many deadlocks there were.
SELECT pg_database_size(current_database()) AS bytes, coalesce((
    SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
        AND datname = current_database()), 0)::float8 AS snapshot, (
    SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()) AS deadlocks

-- list_circuits --
-- Circuits of the gateway accounts that are called.
SELECT gateway_account_id, state FROM gateway_circuits ORDER BY gateway_account_id LIMIT 1000

-- count_differences --
-- Differences that reconciliation has found, by what was done about them.
SELECT kind, CASE WHEN resolved_at IS NOT NULL THEN 'gone' WHEN dead_letter_id IS NULL THEN 'repairing'
        ELSE 'reported' END AS state, count(*) AS differences
FROM reconciliation_differences GROUP BY 1, 2

-- get_reconciliation_age --
-- Seconds since the last reconciliation; null before the first.
SELECT extract(epoch FROM clock_timestamp() - max(finished_at))::float8 AS age
FROM reconciliations WHERE state = 'finished' HAVING count(*) > 0

-- count_bookings --
-- Bookings by state, of events that are on sale; holds that were purged count with the state they had.
WITH sales AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM (
        SELECT id FROM events WHERE state = 'on_sale' AND off_sale_at > clock_timestamp()
        ORDER BY id DESC LIMIT 50) e
)
SELECT state, sum(bookings)::bigint AS bookings
FROM (
    SELECT state, count(*) AS bookings FROM bookings
    WHERE event_id = ANY ((SELECT ids FROM sales)::bigint[]) GROUP BY state
    UNION ALL
    SELECT state, bookings FROM purged_holds WHERE event_id = ANY ((SELECT ids FROM sales)::bigint[])) b
GROUP BY state

-- get_feed_lag --
-- Seconds since the moment up to which the feed is told; null before its first message.
SELECT extract(epoch FROM clock_timestamp() - told_until)::float8 AS lag FROM feed_progress
