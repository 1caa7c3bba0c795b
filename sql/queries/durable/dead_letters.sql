-- list_dead_letters --
-- Dead letters: the latest first, after the given one, or the oldest first. The history is read only for
-- a letter that is asked for by id.
SELECT l.id, l.task_id, l.actor, l.queue, l.key, l.args, l.event_id, l.booking_id, l.buyer_id, l.reason,
    l.claims, l.failures, l.trace, l.created_at, l.died_at, l.resolved_at, l.resolution, l.resolved_by,
    l.retry_of, l.retried_as,
    EXISTS (SELECT FROM outbox o WHERE o.id = l.task_id) AND l.resolved_at IS NULL AS lives,
    CASE WHEN %(id)s::bigint IS NOT NULL
        THEN coalesce((SELECT o.errors FROM outbox o WHERE o.id = l.task_id), l.errors) END AS errors
FROM dead_letters l
WHERE (%(id)s::bigint IS NULL OR l.id = %(id)s)
    AND (%(starting_after)s::bigint IS NULL OR l.id < %(starting_after)s)
    AND (%(open)s::boolean IS NULL OR (l.resolved_at IS NULL) = %(open)s)
    AND (%(actor)s::text IS NULL OR l.actor = %(actor)s)
    AND (%(event_id)s::bigint IS NULL OR l.event_id = %(event_id)s)
    AND (%(booking_id)s::uuid IS NULL OR l.booking_id = %(booking_id)s)
    AND (%(buyer_id)s::bigint IS NULL OR l.buyer_id = %(buyer_id)s)
    AND (%(older_than)s::float8 IS NULL
        OR l.died_at < clock_timestamp() - make_interval(secs => %(older_than)s))
    AND (%(newer_than)s::float8 IS NULL
        OR l.died_at > clock_timestamp() - make_interval(secs => %(newer_than)s))
    AND (%(reason)s::text IS NULL OR strpos(lower(l.reason), lower(%(reason)s)) > 0)
ORDER BY CASE WHEN %(oldest_first)s THEN l.id END, l.id DESC LIMIT %(limit)s

-- retry_dead_letter --
-- Tries the task of a dead letter again.
SELECT * FROM retry_dead_letter(%(id)s)

-- discard_dead_letter --
-- Closes a dead letter for good.
SELECT * FROM discard_dead_letter(%(id)s, %(reason)s)
