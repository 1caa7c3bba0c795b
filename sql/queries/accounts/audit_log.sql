-- audit --
-- Adds an entry to the audit log.
SELECT audit(%(action)s, %(event_id)s, %(detail)s)

-- list_acts --
-- Entries of the audit log, the latest first, after the given one.
SELECT id, at, actor, action, event_id, detail FROM audit_log
WHERE (%(starting_after)s::bigint IS NULL OR id < %(starting_after)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY id DESC LIMIT %(limit)s
