-- declare --
-- Adds a job, or updates its schedule. A new job is due at once; one with a time of day has been due since
-- that time last passed.
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
-- Deletes the jobs that this version does not have.
DELETE FROM jobs WHERE name <> ALL (%(names)s)

-- list_due --
-- Jobs that are due.
SELECT name FROM jobs
WHERE next_at <= clock_timestamp() AND (retry_at IS NULL OR retry_at <= clock_timestamp())

-- take_tick --
-- Takes the tick of a job that is due, unless another clock has it. Of the missed ticks, only as many as
-- catch_up says are run; the others are skipped.
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
-- Records that a job succeeded, with its result.
UPDATE jobs
SET last_finished_at = clock_timestamp(), last_result = %(result)s, failures = 0, retry_at = NULL
WHERE name = %(name)s

-- fail --
-- Records that a job failed. It is tried again after its interval, or after a minute if that is sooner.
UPDATE jobs
SET failures = failures + 1, last_error = left(%(error)s, 2000), last_failed_at = clock_timestamp(),
    retry_at = clock_timestamp() + least(every, interval '1 min')
WHERE name = %(name)s
RETURNING failures

-- list_jobs --
-- All jobs, as operators see them. age: seconds since the last success.
SELECT name, every, catch_up, next_at, last_started_at, last_finished_at, last_result, failures,
    last_error, last_failed_at,
    extract(epoch FROM clock_timestamp() - coalesce(last_finished_at, declared_at))::float8 AS age
FROM jobs ORDER BY name

-- enqueue --
-- Adds the durable task that a job starts, with low priority.
SELECT enqueue(%(actor)s, 'maintenance', %(key)s, %(args)s, %(event_id)s, p_priority => 80)

-- ensure_partitions --
-- Makes the partitions of this month and the next ones; how many were missing.
SELECT ensure_partitions() AS made
