-- get_factor --
-- A person's second factor, the recovery codes that are left, how many passkeys there are, and when all of that
-- will be reset, if that was asked for. When the reset is due, there is none any more.
SELECT CASE WHEN NOT d.is_due THEN f.confirmed_at END AS confirmed_at,
    (SELECT count(*) FROM recovery_codes c WHERE c.account_id = a.id AND c.used_at IS NULL AND NOT d.is_due)
        AS recovery_codes,
    (SELECT count(*) FROM passkeys p WHERE p.account_id = a.id AND NOT d.is_due) AS passkeys,
    r.due_at AS reset_at
FROM accounts a CROSS JOIN LATERAL (SELECT reset_is_due(a.id) AS is_due) d
    LEFT JOIN second_factors f ON f.account_id = a.id
    LEFT JOIN second_factor_resets r ON r.account_id = a.id AND r.ended_at IS NULL
WHERE a.id = %(account_id)s

-- begin_factor --
-- Begins to set up a factor, in place of one that was not confirmed. No row: there is one that is in use.
INSERT INTO second_factors AS f (account_id) VALUES (%(account_id)s)
ON CONFLICT (account_id) DO UPDATE SET created_at = clock_timestamp(), last_step = 0
WHERE f.confirmed_at IS NULL
RETURNING account_id

-- forget_reset_factor --
-- Deletes a person's app, recovery codes and passkeys if their reset is due; sessions in which a second factor was
-- given count as if it was not. No row: none is due.
WITH due AS (
    UPDATE second_factor_resets SET ended_at = clock_timestamp()
    WHERE account_id = %(account_id)s AND ended_at IS NULL AND due_at <= clock_timestamp()
    RETURNING account_id
), gone AS (
    DELETE FROM second_factors f USING due WHERE f.account_id = due.account_id
), passkeys_gone AS (
    DELETE FROM passkeys p USING due WHERE p.account_id = due.account_id
), sessions_without AS (
    UPDATE sessions s SET second_factor_at = NULL FROM due
    WHERE s.account_id = due.account_id AND s.organisation_id IS NULL
)
SELECT account_id FROM due

-- remove_factor --
-- Stops using a person's app.
SELECT remove_factor(%(account_id)s) AS removed

-- count_try --
-- Counts a code that is tried, before it is read. No row: there is no factor.
UPDATE second_factors
SET tries = CASE WHEN tried_at > clock_timestamp() - interval '15 min' THEN least(tries + 1, 1000) ELSE 1 END,
    tried_at = CASE WHEN tried_at > clock_timestamp() - interval '15 min' THEN tried_at
        ELSE clock_timestamp() END
WHERE account_id = %(account_id)s
RETURNING tries, last_step, confirmed_at

-- use_step --
-- Uses a code, which counts once, and later ones only.
UPDATE second_factors
SET last_step = %(step)s, tries = 0, confirmed_at = coalesce(confirmed_at, clock_timestamp())
WHERE account_id = %(account_id)s AND last_step < %(step)s
RETURNING account_id

-- use_recovery_code --
-- Uses a recovery code, once.
WITH used AS (
    UPDATE recovery_codes SET used_at = clock_timestamp()
    WHERE account_id = %(account_id)s AND code_sha256 = %(code_sha256)s AND used_at IS NULL
    RETURNING account_id
)
UPDATE second_factors f SET tries = 0 FROM used WHERE f.account_id = used.account_id RETURNING f.account_id

-- replace_recovery_codes --
-- Replaces a person's recovery codes. The row that counts tries is there also where passkeys are the only factor.
WITH counted AS (
    INSERT INTO second_factors (account_id) VALUES (%(account_id)s) ON CONFLICT DO NOTHING
), gone AS (
    DELETE FROM recovery_codes WHERE account_id = %(account_id)s
)
INSERT INTO recovery_codes (account_id, code_sha256)
SELECT %(account_id)s, unnest(%(hashes)s::bytea[])

-- confirm_session --
-- Notes that a second factor was given in a session; a reset of it, if it was asked for, is off. No row: the
-- session has ended, or the reset is due.
WITH given AS (
    UPDATE sessions SET second_factor_at = clock_timestamp()
    WHERE id = %(session_id)s AND account_id = %(account_id)s AND ended_at IS NULL
        AND NOT reset_is_due(%(account_id)s)
    RETURNING account_id, second_factor_at
), reset AS (
    UPDATE second_factor_resets r SET ended_at = clock_timestamp() FROM given
    WHERE r.account_id = given.account_id AND r.ended_at IS NULL
)
SELECT second_factor_at FROM given

-- is_guarded --
-- Whether ways to give a second factor may only be changed by giving one: an app is in use, or the person works
-- for an organisation and has a passkey.
SELECT EXISTS (SELECT FROM second_factors WHERE account_id = %(account_id)s AND confirmed_at IS NOT NULL)
    OR (EXISTS (SELECT FROM passkeys WHERE account_id = %(account_id)s)
        AND EXISTS (SELECT FROM memberships WHERE account_id = %(account_id)s AND ended_at IS NULL)) AS guarded

-- is_confirmed --
-- Whether a second factor was given in a session a short while ago, and is not to be reset.
SELECT coalesce(second_factor_at > clock_timestamp() - make_interval(secs => %(fresh_seconds)s), false)
    AND NOT reset_is_due(account_id) AS fresh
FROM sessions WHERE id = %(session_id)s AND account_id = %(account_id)s AND ended_at IS NULL

-- request_reset --
-- Asks for the reset of a factor, unless that was done, and tells its owner by mail.
WITH asked AS (
    INSERT INTO second_factor_resets (account_id, requested_by, due_at)
    SELECT id, acting(), clock_timestamp() + make_interval(secs => %(delay)s)
    FROM accounts WHERE id = %(account_id)s
    ON CONFLICT (account_id) WHERE ended_at IS NULL DO NOTHING
    RETURNING account_id, due_at
)
SELECT due_at, mail_staff(account_id, 'factor_reset', jsonb_build_object('due_at',
    to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))) FROM asked

-- has_other_memberships --
-- Whether a person is also a member of another organisation, or an operator.
SELECT EXISTS (
    SELECT FROM memberships
    WHERE account_id = %(account_id)s AND ended_at IS NULL
        AND organisation_id IS DISTINCT FROM %(organisation_id)s) AS has
