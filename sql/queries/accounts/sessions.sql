-- open_session --
-- Opens a session of an account that is neither closed nor blocked. epoch, password_hash: as they were when
-- the person proved who it is; no row: they were changed since. The account is locked until the session is
-- seen by who ends all of them.
WITH account AS (
    SELECT id, token_epoch, verified_at FROM accounts
    WHERE id = %(account_id)s AND closed_at IS NULL AND blocked_at IS NULL AND token_epoch = %(epoch)s
        AND (%(password_hash)s::text IS NULL OR password_hash = %(password_hash)s)
    FOR SHARE
)
INSERT INTO sessions (account_id, organisation_id, carrier, name, authenticated_by, second_factor_at)
SELECT id, %(organisation_id)s, %(carrier)s, %(name)s, %(authenticated_by)s, %(second_factor_at)s FROM account
RETURNING id, account_id, organisation_id, refreshes, used_at, expires_at,
    (SELECT token_epoch FROM account) AS epoch,
    (SELECT verified_at IS NOT NULL FROM account) AS verified

-- refresh_session --
-- Uses a refresh token.
SELECT * FROM refresh_session(%(session_id)s, %(refreshes)s)

-- renew_session --
-- Renews a session that a browser's cookie has: it may be renewed by the same cookie as often as it comes.
UPDATE sessions s SET used_at = clock_timestamp(), expires_at = clock_timestamp() + interval '30 days'
FROM accounts a
WHERE s.id = %(session_id)s AND s.carrier = 'cookie' AND s.ended_at IS NULL
    AND s.expires_at > clock_timestamp()
    AND a.id = s.account_id AND a.closed_at IS NULL AND a.blocked_at IS NULL
RETURNING s.id, s.account_id, s.organisation_id, s.refreshes, s.used_at, s.expires_at,
    a.token_epoch AS epoch, a.verified_at IS NOT NULL AS verified

-- list_sessions --
-- A person's sessions that have not ended, the latest first.
SELECT id, name, carrier, authenticated_by, created_at, used_at, expires_at FROM sessions
WHERE account_id = %(account_id)s AND ended_at IS NULL AND expires_at > clock_timestamp()
    AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s
    AND (%(starting_after)s::bigint IS NULL OR id < %(starting_after)s)
ORDER BY id DESC LIMIT %(limit)s

-- name_session --
-- Renames one of a person's sessions.
UPDATE sessions SET name = %(name)s
WHERE id = %(session_id)s AND account_id = %(account_id)s AND ended_at IS NULL
    AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s
RETURNING id, name, carrier, authenticated_by, created_at, used_at, expires_at

-- end_session --
-- Ends one of a person's sessions, unless it has ended before.
UPDATE sessions SET ended_at = coalesce(ended_at, clock_timestamp())
WHERE id = %(session_id)s AND account_id = %(account_id)s
    AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s
RETURNING id

-- end_sessions --
-- Ends all sessions of an account, but for one of them, if named.
SELECT end_sessions(%(account_id)s, %(except_id)s)

-- list_ended --
-- Sessions that ended since then. Of those that ended earlier the access tokens have expired: they live for
-- an hour from used_at; ten minutes are for clocks that differ.
SELECT id, ended_at FROM sessions
WHERE ended_at > greatest(%(since)s::timestamptz, clock_timestamp() - interval '70 min')
