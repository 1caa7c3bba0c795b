-- list_passkeys --
-- A person's passkeys, the oldest first.
SELECT id, name, created_at, used_at, credential_id FROM passkeys WHERE account_id = %(account_id)s ORDER BY id

-- find_passkey --
-- A passkey by what its device calls it, of an account that is neither closed nor blocked. One whose reset is due
-- is not found.
SELECT p.id, p.account_id, p.public_key, p.sign_count, a.token_epoch
FROM passkeys p JOIN accounts a ON a.id = p.account_id AND a.closed_at IS NULL AND a.blocked_at IS NULL
WHERE p.credential_id = %(credential_id)s AND NOT reset_is_due(p.account_id)

-- lock_account --
-- Locks an account before its passkeys and sessions, as all do that end it or them. No row: it was closed or
-- blocked.
SELECT id FROM accounts WHERE id = %(account_id)s AND closed_at IS NULL AND blocked_at IS NULL FOR NO KEY UPDATE

-- has_session --
-- A session of an account, unless it has ended; read after the account was locked.
SELECT id FROM sessions WHERE id = %(session_id)s AND account_id = %(account_id)s AND ended_at IS NULL

-- add_passkey --
-- Adds a passkey. No row: the same one was added before.
INSERT INTO passkeys (account_id, credential_id, public_key, sign_count, name)
VALUES (%(account_id)s, %(credential_id)s, %(public_key)s, %(sign_count)s, %(name)s)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id, name, created_at, used_at

-- use_challenge --
-- Uses a challenge. No row: it was used before.
INSERT INTO passkey_challenges (challenge_sha256) VALUES (%(challenge_sha256)s)
ON CONFLICT DO NOTHING
RETURNING challenge_sha256

-- use_passkey --
-- Notes that a passkey was used. No row: it was removed, or used otherwise since it was read.
UPDATE passkeys SET sign_count = %(sign_count)s, used_at = clock_timestamp()
WHERE id = %(id)s AND account_id = %(account_id)s AND sign_count = %(before)s
RETURNING id

-- name_passkey --
-- Renames one of a person's passkeys.
UPDATE passkeys SET name = %(name)s WHERE id = %(id)s AND account_id = %(account_id)s
RETURNING id, name, created_at, used_at

-- find_own --
-- The id of one of a person's passkeys.
SELECT id FROM passkeys WHERE id = %(id)s AND account_id = %(account_id)s

-- remove_passkey --
-- Deletes one of a person's passkeys.
SELECT remove_passkey(%(account_id)s, %(id)s)
