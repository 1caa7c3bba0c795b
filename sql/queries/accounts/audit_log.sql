-- audit --
-- Adds an act to the audit log.
SELECT audit(%(action)s, %(event_id)s, %(detail)s, %(organisation_id)s, %(account_id)s, %(personal)s)

-- list_acts --
-- Acts of all organisations and of the platform, the latest first, after the given one; with their personal
-- values, unless the account was erased.
SELECT a.id, a.at, a.actor, a.action, a.organisation_id, a.event_id, a.account_id,
    a.detail || coalesce(p.personal, '{}') AS detail,
    a.personal_mac IS NOT NULL AND p.act_id IS NULL AS erased, c.number
FROM audit_log a
LEFT JOIN audit_personal p ON p.act_id = a.id
LEFT JOIN audit_chain c ON c.act_id = a.id
WHERE (%(starting_after)s::bigint IS NULL OR a.id < %(starting_after)s)
    AND (%(event_id)s::bigint IS NULL OR a.event_id = %(event_id)s)
    AND (%(account_id)s::bigint IS NULL OR a.account_id = %(account_id)s)
    AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
    AND (%(action)s::text IS NULL OR a.action = %(action)s)
ORDER BY a.id DESC LIMIT %(limit)s

-- list_acts_of --
-- The same of one organisation.
SELECT a.id, a.at, a.actor, a.action, a.organisation_id, a.event_id, a.account_id,
    a.detail || coalesce(p.personal, '{}') AS detail,
    a.personal_mac IS NOT NULL AND p.act_id IS NULL AS erased, c.number
FROM audit_log a
LEFT JOIN audit_personal p ON p.act_id = a.id
LEFT JOIN audit_chain c ON c.act_id = a.id
WHERE a.organisation_id = %(organisation_id)s
    AND (%(starting_after)s::bigint IS NULL OR a.id < %(starting_after)s)
    AND (%(event_id)s::bigint IS NULL OR a.event_id = %(event_id)s)
    AND (%(account_id)s::bigint IS NULL OR a.account_id = %(account_id)s)
    AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
    AND (%(action)s::text IS NULL OR a.action = %(action)s)
ORDER BY a.id DESC LIMIT %(limit)s

-- chain_acts --
-- Chains acts that are not chained yet.
SELECT chain_acts(%(limit)s) AS chained

-- verify_acts --
-- Compares the audit log with its chains.
SELECT organisation_id, number, act_id, finding FROM verify_acts(%(organisation_id)s)

-- list_heads --
-- The last link of each chain, with how many links it has; 0: the platform's.
SELECT DISTINCT ON (organisation_id) organisation_id, number, encode(hash, 'hex') AS hash,
    count(*) OVER (PARTITION BY organisation_id) AS links
FROM audit_chain
WHERE %(organisation_id)s::bigint IS NULL OR organisation_id = %(organisation_id)s
ORDER BY organisation_id, number DESC

-- find_link --
-- The hash of a link.
SELECT encode(hash, 'hex') AS hash FROM audit_chain
WHERE organisation_id = %(organisation_id)s AND number = %(number)s

-- purged_acts --
-- Up to which number a chain was purged.
SELECT through FROM purged_acts(%(organisation_id)s)
