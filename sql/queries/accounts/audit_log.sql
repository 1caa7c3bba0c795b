-- audit --
-- One line of it.
SELECT audit(%(action)s, %(event_id)s, %(detail)s)

-- list_acts --
-- The latest first, from the one given on.
SELECT id, at, actor, action, event_id, detail FROM audit_log
WHERE (%(starting_after)s::bigint IS NULL OR id < %(starting_after)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY id DESC LIMIT %(limit)s
