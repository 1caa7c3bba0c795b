-- find_staff --
-- The memberships of a session's person, in the organisation that was named (0: the platform), if one was; of a
-- session that is good for one organisation only, that one. has_factor: a second factor was given in the session,
-- and is not to be reset; is_confirmed: a short while ago.
SELECT m.role, m.organisation_id, f.given_at IS NOT NULL AS has_factor,
    coalesce(f.given_at > clock_timestamp() - make_interval(secs => %(fresh_seconds)s), false) AS is_confirmed
FROM sessions s
    CROSS JOIN LATERAL (SELECT CASE WHEN s.organisation_id IS NOT NULL OR NOT reset_is_due(s.account_id)
        THEN s.second_factor_at END AS given_at) f
    JOIN accounts a ON a.id = s.account_id AND a.closed_at IS NULL AND a.blocked_at IS NULL
    JOIN memberships m ON m.account_id = s.account_id AND m.ended_at IS NULL
WHERE s.id = %(session_id)s AND s.account_id = %(account_id)s AND s.ended_at IS NULL
    AND s.expires_at > clock_timestamp()
    AND (s.organisation_id IS NULL OR m.organisation_id = s.organisation_id)
    AND (%(organisation_id)s::bigint IS NULL OR coalesce(m.organisation_id, 0) = %(organisation_id)s)
ORDER BY m.id LIMIT 2

-- list_members --
-- Members of an organisation, in the order in which they came.
SELECT m.id, m.account_id, b.name, b.email, m.role, m.created_at, f.confirmed_at IS NOT NULL
    OR EXISTS (SELECT FROM passkeys p WHERE p.account_id = m.account_id) AS second_factor
FROM memberships m JOIN buyers b ON b.id = m.account_id
    LEFT JOIN second_factors f ON f.account_id = m.account_id
WHERE m.organisation_id = %(organisation_id)s AND m.ended_at IS NULL
    AND (%(starting_after)s::bigint IS NULL OR m.id > %(starting_after)s)
ORDER BY m.id LIMIT %(limit)s

-- get_member --
-- A member of an organisation.
SELECT m.id, m.account_id, b.name, b.email, m.role, m.created_at, f.confirmed_at IS NOT NULL
    OR EXISTS (SELECT FROM passkeys p WHERE p.account_id = m.account_id) AS second_factor
FROM memberships m JOIN buyers b ON b.id = m.account_id
    LEFT JOIN second_factors f ON f.account_id = m.account_id
WHERE m.id = %(membership_id)s AND m.organisation_id = %(organisation_id)s AND m.ended_at IS NULL

-- list_all_members --
-- Members of all organisations, and operators, for the console.
SELECT m.id, m.account_id, m.role, m.organisation_id, o.name AS organisation, m.created_at
FROM memberships m LEFT JOIN organisations o ON o.id = m.organisation_id
WHERE m.ended_at IS NULL ORDER BY m.id

-- list_own --
-- A person's memberships.
SELECT m.id, m.organisation_id, o.name AS organisation, m.role, m.created_at
FROM memberships m LEFT JOIN organisations o ON o.id = m.organisation_id
WHERE m.account_id = %(account_id)s AND m.ended_at IS NULL
    AND (%(organisation_id)s::bigint IS NULL OR m.organisation_id = %(organisation_id)s)
ORDER BY m.id

-- find_own --
-- The id of one of a person's memberships; in this organisation, if one is named.
SELECT id FROM memberships
WHERE id = %(membership_id)s AND account_id = %(account_id)s AND ended_at IS NULL
    AND (%(organisation_id)s::bigint IS NULL OR organisation_id = %(organisation_id)s)

-- end_membership --
-- Ends a membership.
SELECT end_membership(%(membership_id)s, %(organisation_id)s) AS outcome

-- change_role --
-- Gives a member another role.
SELECT change_role(%(membership_id)s, %(organisation_id)s, %(role)s) AS outcome

-- stays_owner --
-- Whether a person is an owner or an operator, and stays it until the transaction ends.
SELECT stays_owner(%(account_id)s, %(organisation_id)s) AS stays
