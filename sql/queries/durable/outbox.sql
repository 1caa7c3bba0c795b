-- list_due_queues --
-- Those of the queues that have a task for which a message is to be sent now: what the relay asks while there
-- is nothing to do. Each pair of queue and priority is one look into the index.
SELECT q.queue FROM unnest(%(queues)s::text[]) WITH ORDINALITY q(queue, place) CROSS JOIN LATERAL (
    SELECT FROM unnest('{20,50,80}'::smallint[]) level CROSS JOIN LATERAL (
        SELECT FROM outbox o
        WHERE o.queue = q.queue AND o.priority = level AND o.resend_at <= statement_timestamp()
        ORDER BY o.resend_at LIMIT 1) task
    LIMIT 1) due
ORDER BY q.place

-- get_snapshot --
-- Which transactions are visible now.
SELECT pg_current_snapshot()::text AS snapshot

-- take_due --
-- Takes the tasks for which messages are to be sent now, the urgent ones first. Each is sent again later,
-- until it is done. (The index is searched for the statement's time, which is constant: with
-- clock_timestamp() the index would be read to its end.)
UPDATE outbox
SET sends = sends + 1, resend_at = next_send(sends, claims, %(pace)s)
WHERE id = ANY (ARRAY(
    SELECT due.id FROM unnest('{20,50,80}'::smallint[]) level CROSS JOIN LATERAL (
        SELECT o.id FROM outbox o
        WHERE o.queue = %(queue)s AND o.priority = level AND o.resend_at <= statement_timestamp()
        ORDER BY o.resend_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) due
    LIMIT %(limit)s))
RETURNING id, actor, priority, claims

-- take_due_in_shares --
-- The same, for tasks that wait for a gateway: of each account there at most so many messages wait for a
-- worker (%(share)s), and its events take turns. So a crowd that pays through one account does not stand
-- before those who pay through another. What was sent five seconds ago may be lost and does not count any more.
-- %(ahead)s: how many due tasks are looked at. What is looked at is not locked until it is chosen.
WITH levels AS (
    SELECT unnest('{20,50,80}'::smallint[]) AS priority
), sent AS (
    SELECT a.real_account_id AS account, count(*) AS waiting
    FROM levels l CROSS JOIN LATERAL (
        SELECT event_id FROM outbox
        WHERE queue = %(queue)s AND priority = l.priority
            AND resend_at > statement_timestamp() + %(pace)s * interval '10 s'
            AND resend_at <= statement_timestamp() + %(pace)s * interval '15 s'
            AND run_at <= statement_timestamp() AND sends > 0
            AND (lease_until IS NULL OR lease_until < statement_timestamp())
        LIMIT %(ahead)s) o
    JOIN events e ON e.id = o.event_id JOIN gateway_accounts a ON a.id = e.gateway_account_id
    GROUP BY a.real_account_id
), due AS MATERIALIZED (
    SELECT o.*, a.real_account_id AS account
    FROM levels l CROSS JOIN LATERAL (
        SELECT id, priority, resend_at, event_id FROM outbox
        WHERE queue = %(queue)s AND priority = l.priority AND resend_at <= statement_timestamp()
        ORDER BY resend_at LIMIT %(ahead)s) o
    LEFT JOIN events e ON e.id = o.event_id LEFT JOIN gateway_accounts a ON a.id = e.gateway_account_id
), turns AS (
    SELECT d.*, row_number() OVER (PARTITION BY priority, event_id ORDER BY resend_at, id) AS turn FROM due d
), places AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.account ORDER BY priority, turn, resend_at)
        + coalesce(s.waiting, 0) AS place
    FROM turns t LEFT JOIN sent s ON s.account = t.account
)
UPDATE outbox
SET sends = sends + 1, resend_at = next_send(sends, claims, %(pace)s)
WHERE id = ANY (ARRAY(
    SELECT id FROM outbox
    WHERE id = ANY (ARRAY(
        SELECT id FROM places WHERE account IS NULL OR place <= %(share)s
        ORDER BY priority, place, resend_at LIMIT %(limit)s)) AND resend_at <= statement_timestamp()
    FOR UPDATE SKIP LOCKED))
RETURNING id, actor, priority, claims,
    (SELECT a.real_account_id FROM events e JOIN gateway_accounts a ON a.id = e.gateway_account_id
     WHERE e.id = outbox.event_id) AS gateway_account_id

-- lease --
-- Leases tasks to one worker, which alone may finish them; other workers do not get them. A lease that
-- expired means that its worker died or lost its connection. After %(beside_others)s such leases a task
-- is leased only to a worker that has no other task.
UPDATE outbox
SET lease_token = %(token)s, lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    claims = claims + 1, again = false, leased_by = %(worker)s,
    errors = CASE WHEN lease_token IS NULL THEN errors ELSE add_attempt(errors, 'died',
        'its worker died, or was too slow', claims, leased_by) END
WHERE id = ANY (ARRAY(
    SELECT id FROM outbox
    WHERE id = ANY (%(ids)s) AND run_at <= clock_timestamp()
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
        AND (claims < %(beside_others)s OR %(alone)s)
    ORDER BY id FOR UPDATE SKIP LOCKED))
RETURNING id, actor, key, args, event_id, claims, failures, trace

-- lock --
-- Locks the tasks that are still leased under this token. Every transaction of a task begins with it. A
-- row is missing when the lease was lost.
SELECT id FROM outbox
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s
ORDER BY id FOR UPDATE

-- renew --
-- Extends the leases of long tasks. Progress counts as an outcome: claims begin at 1 again.
UPDATE outbox
SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    claims = CASE WHEN %(progress)s THEN 1 ELSE claims END
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s

-- finish --
-- Deletes tasks that are done, in the transaction of their effect. A task that was marked to run again
-- stays and is due at once, unless nothing can be left for it to do (%(for_good)s).
WITH done AS (
    DELETE FROM outbox
    WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND (NOT again OR %(for_good)s)
)
UPDATE outbox
SET lease_token = NULL, lease_until = NULL, again = false, put_off = false, claims = 0, failures = 0, sends = 0,
    run_at = clock_timestamp(), resend_at = clock_timestamp()
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND again AND NOT %(for_good)s

-- resolve --
-- Resolves the dead letters of tasks that were kept and are done now.
UPDATE dead_letters SET resolved_at = clock_timestamp(), resolution = 'done after all'
WHERE task_id = ANY (%(ids)s) AND resolved_at IS NULL

-- retry --
-- Hands tasks back to run again after a delay. The caller decides the delay, the database's clock the
-- time. A task that has not failed, and was marked to run again meanwhile, is due at once: what it waits
-- for may have come. %(put_off)s: it waits for what others do, as if it had never been leased.
UPDATE outbox
SET lease_token = NULL, lease_until = NULL, sends = 0, again = false, put_off = %(put_off)s,
    claims = CASE WHEN %(put_off)s THEN greatest(0, claims - 1) ELSE 0 END,
    failures = failures + %(counts)s,
    errors = add_attempt(errors, CASE %(counts)s WHEN 0 THEN 'later' ELSE 'failed' END, %(error)s, claims,
        leased_by),
    run_at = clock_timestamp()
        + CASE WHEN again AND %(counts)s = 0 THEN interval '0' ELSE make_interval(secs => %(delay)s) END,
    resend_at = clock_timestamp()
        + CASE WHEN again AND %(counts)s = 0 THEN interval '0' ELSE make_interval(secs => %(delay)s) END
WHERE id = ANY (%(ids)s) AND lease_token = %(token)s

-- release --
-- Hands back leases of a worker that stops or makes room, as if it had never had them.
UPDATE outbox
SET lease_token = NULL, lease_until = NULL, claims = greatest(0, claims - 1), sends = 0,
    errors = add_attempt(errors, 'later', %(why)s, claims, leased_by),
    resend_at = clock_timestamp()
WHERE id = ANY (ARRAY(
    SELECT id FROM outbox WHERE id = ANY (%(ids)s) AND lease_token = ANY (%(tokens)s)
    ORDER BY id FOR UPDATE))
RETURNING id

-- dead_letter_tasks --
-- Makes dead letters of tasks that cannot be done. %(keep)s: the tasks are kept and tried again.
SELECT dead_letter_tasks(%(ids)s, %(token)s, %(reason)s, %(keep)s, %(attempt)s)

-- list_tasks --
-- Tasks that are not done, after the given one. failing: tried and failed; waiting: not due yet.
SELECT o.id, o.actor, o.queue, o.key, o.args, o.event_id, o.priority, o.created_at, o.run_at, o.sends,
    o.claims, o.failures, o.lease_until, o.leased_by, o.trace, o.retry_of,
    o.errors -> -1 ->> 'error' AS last_error, (
        SELECT d.id FROM dead_letters d
        WHERE d.task_id = o.id AND d.task_id > 0 AND d.resolved_at IS NULL) AS dead_letter,
    CASE WHEN o.lease_until > statement_timestamp() THEN 'leased'
        WHEN o.run_at <= statement_timestamp() THEN 'due' ELSE 'waiting' END AS state
FROM outbox o
WHERE o.id > %(starting_after)s
    AND (%(actor)s::text IS NULL OR o.actor = %(actor)s)
    AND (%(event_id)s::bigint IS NULL OR o.event_id = %(event_id)s)
    AND CASE %(state)s::text
        WHEN 'failing' THEN o.failures > 0
        WHEN 'leased' THEN o.lease_until > statement_timestamp()
        WHEN 'due' THEN o.run_at <= statement_timestamp()
            AND (o.lease_until IS NULL OR o.lease_until <= statement_timestamp())
        WHEN 'waiting' THEN o.run_at > statement_timestamp()
            AND (o.lease_until IS NULL OR o.lease_until <= statement_timestamp())
        ELSE true END
ORDER BY o.id LIMIT %(limit)s

-- add_dead_letter --
-- Adds a dead letter for a fact that a task found and that a person has to know. The task itself goes on.
INSERT INTO dead_letters (task_id, actor, queue, key, args, event_id, booking_id, buyer_id, reason, claims,
    errors, created_at)
SELECT 0, %(actor)s, %(queue)s, %(key)s, %(args)s, c.event_id, c.booking_id, c.buyer_id, %(reason)s, 0,
    '[]', clock_timestamp()
FROM find_concern(%(args)s, %(event_id)s) c

