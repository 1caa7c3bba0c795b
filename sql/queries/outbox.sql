-- take_due --
-- The tasks to send messages for now; each is sent again later, until it is done.
UPDATE outbox
SET sends = sends + 1,
    resend_at = clock_timestamp()
        + %(pace)s * least(interval '5 min', interval '15 s' * 2 ^ least(sends, 5))
WHERE id = ANY (ARRAY(
    SELECT id FROM outbox
    WHERE queue = %(queue)s AND resend_at <= clock_timestamp()
    ORDER BY resend_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, actor, priority, claims > 0 AS alone

-- lease --
-- Takes tasks for one worker, which alone may finish them; others find nothing.
UPDATE outbox
SET lease_token = %(token)s, lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    claims = claims + 1, again = false
WHERE id = ANY (ARRAY(
    SELECT id FROM outbox
    WHERE id = ANY (%(ids)s) AND run_at <= clock_timestamp()
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY id FOR UPDATE SKIP LOCKED))
RETURNING id, actor, key, args, event_id, claims, failures, trace

-- lock --
-- Begins every transaction of a task: the rows that are still ours. None: somebody else has them.
SELECT id FROM outbox
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s
ORDER BY id FOR UPDATE

-- renew --
-- Long work keeps its lease; what was achieved so far counts as an outcome.
UPDATE outbox
SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), claims = 1
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s

-- finish --
-- Deletes tasks that are done, in the transaction of their effect; who was told to run again, stays.
WITH done AS (
    DELETE FROM outbox
    WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND NOT again
)
UPDATE outbox
SET lease_token = NULL, lease_until = NULL, again = false, claims = 0, failures = 0, sends = 0,
    run_at = clock_timestamp(), resend_at = clock_timestamp()
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND again

-- resolve --
-- Closes the dead letters of tasks that were kept alive and are done.
UPDATE dead_letters SET resolved_at = clock_timestamp(), resolution = 'done after all'
WHERE task_id = ANY (%(ids)s) AND resolved_at IS NULL

-- retry --
-- Hands tasks back to run later. The delay is decided by the caller, the moment by this clock. Whoever was
-- told to run again meanwhile, and has not failed, does so at once: what it waits for may have come.
UPDATE outbox
SET lease_token = NULL, lease_until = NULL, claims = 0, sends = 0, again = false,
    failures = failures + %(counts)s,
    errors = (CASE WHEN jsonb_array_length(errors) < 20 THEN errors ELSE errors - 0 END)
        || jsonb_build_object('at', clock_timestamp(), 'error', %(error)s::text),
    run_at = clock_timestamp()
        + CASE WHEN again AND %(counts)s = 0 THEN interval '0' ELSE make_interval(secs => %(delay)s) END,
    resend_at = clock_timestamp()
        + CASE WHEN again AND %(counts)s = 0 THEN interval '0' ELSE make_interval(secs => %(delay)s) END
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s

-- bury --
-- Makes dead letters of tasks that cannot be done; %(keep)s leaves them to be tried on as well.
WITH dead AS (
    SELECT * FROM outbox WHERE id = ANY (%(ids)s) AND lease_token = %(token)s FOR UPDATE
), gone AS (
    DELETE FROM outbox o USING dead d WHERE o.id = d.id AND NOT %(keep)s
)
INSERT INTO dead_letters (task_id, actor, queue, key, args, event_id, booking_id, reason, claims,
    errors, trace, created_at)
SELECT d.id, d.actor, d.queue, d.key, d.args, d.event_id, (d.args ->> 'booking_id')::uuid, %(reason)s,
    d.claims, d.errors, d.trace, d.created_at
FROM dead d
WHERE NOT EXISTS (
    SELECT FROM dead_letters l WHERE l.task_id = d.id AND l.resolved_at IS NULL)

-- enqueue --
-- Adds a durable task, in the transaction of the change that causes it.
SELECT enqueue(%(actor)s, %(queue)s, %(key)s, %(args)s, %(event_id)s)
