-- declare --
-- Makes sure that the job exists, at its interval.
INSERT INTO jobs (name, every) VALUES (%(name)s, %(every)s)
ON CONFLICT (name) DO UPDATE SET every = excluded.every WHERE jobs.every <> excluded.every

-- take_tick --
-- The job is due, and we are first to say so; ticks that were missed are skipped.
UPDATE jobs
SET next_at = greatest(next_at + every, clock_timestamp()), last_started_at = clock_timestamp()
WHERE name = %(name)s AND next_at <= clock_timestamp()
RETURNING name

-- finish --
-- What came of it.
UPDATE jobs SET last_finished_at = clock_timestamp(), last_result = %(result)s WHERE name = %(name)s

-- ensure_partitions --
-- This month's partitions and the next ones.
SELECT ensure_partitions() AS made

-- purge_idempotency_keys --
-- Keys are kept for 24 hours at least.
DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - interval '25 h'
