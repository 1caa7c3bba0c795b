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
-- An account's name and address.
SELECT b.id, b.name, b.email
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
