-- add_account --
-- Adds an account; a guest has no password.
WITH account AS (
    INSERT INTO accounts (password_hash) VALUES (%(password_hash)s) RETURNING id
)
INSERT INTO buyers (id, email, name)
SELECT id, %(email)s, %(name)s FROM account
RETURNING id

-- find_account --
-- An account by its address in upper or lower case. One that was closed or blocked is not found.
SELECT a.id, a.password_hash, a.token_epoch
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE lower(b.email) = lower(%(email)s) AND a.closed_at IS NULL AND a.blocked_at IS NULL

-- get_account --
-- An account's name, address and language.
SELECT b.id, b.name, b.email, b.locale AS language, a.verified_at IS NOT NULL AS verified,
    a.password_hash IS NOT NULL AS has_password
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE b.id = %(account_id)s AND a.closed_at IS NULL

-- verify_account --
-- Notes that a person reads the mail of the account's address.
SELECT verify_account(%(account_id)s)

-- get_epoch --
-- The epoch of an account's tokens.
SELECT token_epoch FROM accounts WHERE id = %(account_id)s

-- list_epochs --
-- Accounts whose token epoch was raised since then. Older ones are left out: their tokens have expired.
SELECT id, token_epoch, tokens_ended_at FROM accounts
WHERE tokens_ended_at > greatest(%(since)s::timestamptz, clock_timestamp() - interval '31 days')

-- list_typed_addresses --
-- Buyers whose address is as it was typed. Who proved to read the mailbox comes first, then who was first.
SELECT b.id, b.email FROM buyers b JOIN accounts a ON a.id = b.id
WHERE b.email !~ '^[ -~]+@[a-z0-9.-]+$'
ORDER BY a.verified_at, b.id

-- keep_address --
-- Gives a buyer an address, unless another one has it.
WITH holder AS (
    SELECT id FROM buyers WHERE lower(email) = lower(%(email)s) AND id <> %(buyer_id)s
), kept AS (
    UPDATE buyers SET email = %(email)s WHERE id = %(buyer_id)s AND NOT EXISTS (SELECT FROM holder)
)
SELECT (SELECT id FROM holder) AS holder

-- change_person --
-- Changes a person's name or language; null leaves it.
UPDATE buyers SET name = coalesce(%(name)s, name), locale = coalesce(%(language)s, locale)
WHERE id = %(account_id)s

-- get_credentials --
-- An account's password, and whether the session is one in which another proof was given just now.
SELECT a.password_hash, a.verified_at IS NOT NULL AS verified, coalesce(s.authenticated_by IN ('code', 'link', 'passkey')
    AND s.created_at > clock_timestamp() - interval '10 min', false) AS proved
FROM accounts a LEFT JOIN sessions s ON s.id = %(session_id)s AND s.account_id = a.id AND s.ended_at IS NULL
WHERE a.id = %(account_id)s AND a.closed_at IS NULL

-- set_password --
-- Sets, changes or removes a password. No row: it was changed since.
UPDATE accounts SET password_hash = %(new_hash)s
WHERE id = %(account_id)s AND password_hash IS NOT DISTINCT FROM %(old_hash)s
RETURNING id

-- start_address_change --
-- Notes the address that an account asks for; an earlier one is forgotten.
INSERT INTO address_changes (account_id, old_email, new_email)
SELECT id, email, %(email)s FROM buyers WHERE id = %(account_id)s
ON CONFLICT (account_id) DO UPDATE
SET old_email = excluded.old_email, new_email = excluded.new_email, created_at = clock_timestamp(),
    confirmed_at = NULL

-- change_address --
-- Gives an account the address that it asked for.
SELECT change_address(%(account_id)s) AS changed

-- close_account --
-- Closes an account, unless its person works for an organisation.
UPDATE accounts SET closed_at = clock_timestamp()
WHERE id = %(account_id)s AND closed_at IS NULL
    AND NOT EXISTS (SELECT FROM memberships WHERE account_id = %(account_id)s AND ended_at IS NULL)
RETURNING id

-- is_member --
-- Whether a person works for an organisation or the platform.
SELECT EXISTS (SELECT FROM memberships WHERE account_id = %(account_id)s AND ended_at IS NULL) AS is_member

-- reopen_account --
-- Opens an account again that its person closed.
UPDATE accounts SET closed_at = NULL
WHERE id = %(account_id)s AND closed_at IS NOT NULL AND erased_at IS NULL
RETURNING id

-- block_account --
-- Keeps a person out.
UPDATE accounts SET blocked_at = coalesce(blocked_at, clock_timestamp()), blocked_reason = %(reason)s
WHERE id = %(account_id)s AND erased_at IS NULL
RETURNING id

-- unblock_account --
-- Lets a person in again.
UPDATE accounts SET blocked_at = NULL, blocked_reason = NULL
WHERE id = %(account_id)s AND blocked_at IS NOT NULL
RETURNING id

-- read_account --
-- What operators see of an account.
SELECT a.id, a.created_at, a.verified_at, a.closed_at, a.blocked_at, a.blocked_reason, a.erased_at
FROM accounts a WHERE a.id = %(account_id)s
