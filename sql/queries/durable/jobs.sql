-- declare --
-- Makes sure that the job exists, as it is now. One that has a time of day is due since its last one.
INSERT INTO jobs (name, every, catch_up, next_at)
VALUES (%(name)s, %(every)s, %(catch_up)s, coalesce(
    date_bin(%(every)s, clock_timestamp(), timestamptz '2000-01-01 00:00+00' + %(at)s::interval),
    clock_timestamp()))
ON CONFLICT (name) DO UPDATE
SET every = excluded.every, catch_up = excluded.catch_up,
    next_at = CASE WHEN jobs.every = excluded.every THEN jobs.next_at
        ELSE least(jobs.next_at, clock_timestamp() + excluded.every) END
WHERE (jobs.every, jobs.catch_up) <> (excluded.every, excluded.catch_up)

-- forget_others --
-- Jobs that this version does not have.
DELETE FROM jobs WHERE name <> ALL (%(names)s)

-- list_due --
-- Those that were never run.
SELECT name FROM jobs
WHERE next_at <= clock_timestamp() AND (retry_at IS NULL OR retry_at <= clock_timestamp())

-- take_tick --
-- The job is due, and no other clock has it: which tick this is. Those that were missed are skipped, but
-- for as many as are to be caught up.
WITH due AS (
    SELECT name, every,
        greatest(next_at, date_bin(every, clock_timestamp(), next_at) - every * catch_up) AS tick
    FROM jobs
    WHERE name = %(name)s AND next_at <= clock_timestamp()
        AND (retry_at IS NULL OR retry_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED
)
UPDATE jobs j SET next_at = due.tick + due.every, last_started_at = clock_timestamp()
FROM due WHERE j.name = due.name
RETURNING due.tick

-- finish --
-- What came of it.
UPDATE jobs
SET last_finished_at = clock_timestamp(), last_result = %(result)s, failures = 0, retry_at = NULL
WHERE name = %(name)s

-- fail --
-- What went wrong. It is tried again after its interval, or a minute if that is sooner.
UPDATE jobs
SET failures = failures + 1, last_error = left(%(error)s, 2000), last_failed_at = clock_timestamp(),
    retry_at = clock_timestamp() + least(every, interval '1 min')
WHERE name = %(name)s
RETURNING failures

-- list_jobs --
-- All of them, as operators see them. age: seconds since the last success.
SELECT name, every, catch_up, next_at, last_started_at, last_finished_at, last_result, failures,
    last_error, last_failed_at,
    extract(epoch FROM clock_timestamp() - coalesce(last_finished_at, declared_at))::float8 AS age
FROM jobs ORDER BY name

-- enqueue --
-- The durable task that a job is about, when there is time for it.
SELECT enqueue(%(actor)s, 'maintenance', %(key)s, %(args)s, %(event_id)s, p_priority => 80)

-- ensure_partitions --
-- This month's partitions and the next ones.
SELECT ensure_partitions() AS made
