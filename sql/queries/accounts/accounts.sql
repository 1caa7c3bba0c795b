-- add_account --
-- A buyer; a guest has no password.
WITH account AS (
    INSERT INTO accounts (password_hash) VALUES (%(password_hash)s) RETURNING id
)
INSERT INTO buyers (id, email, name)
SELECT id, %(email)s, %(name)s FROM account
RETURNING id

-- find_account --
-- By address, whatever its case; accounts that were closed cannot sign in.
SELECT a.id, a.password_hash, a.token_epoch, a.codes_used, clock_timestamp() AS now
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE lower(b.email) = lower(%(email)s) AND a.closed_at IS NULL

-- get_account --
-- What an account is told about itself.
SELECT b.id, b.name, b.email
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE b.id = %(account_id)s AND a.closed_at IS NULL

-- use_code --
-- The bearer of the code reads the account's mail. The first time a password and tokens from before end:
-- another person may have made the account. No row: the code was used, or its time is over, or the account
-- closed.
UPDATE accounts
SET codes_used = codes_used + 1,
    password_hash = CASE WHEN verified_at IS NOT NULL THEN password_hash END,
    token_epoch = token_epoch + (verified_at IS NULL)::integer,
    tokens_ended_at = CASE WHEN verified_at IS NULL THEN clock_timestamp() ELSE tokens_ended_at END,
    verified_at = coalesce(verified_at, clock_timestamp())
WHERE id = %(account_id)s AND codes_used = %(codes_used)s AND closed_at IS NULL
    AND %(expires_at)s > clock_timestamp()
RETURNING token_epoch

-- list_epochs --
-- Accounts whose tokens of earlier epochs were ended since then, while such tokens may be alive.
SELECT id, token_epoch, tokens_ended_at FROM accounts
WHERE tokens_ended_at > greatest(%(since)s::timestamptz, clock_timestamp() - interval '31 days')

-- send_sign_in_code --
-- The e-mail with a code, and the task that sends it; one a minute for an account.
WITH account AS (
    UPDATE accounts SET code_sent_at = clock_timestamp()
    WHERE id = %(account_id)s
        AND (code_sent_at IS NULL OR code_sent_at < clock_timestamp() - interval '1 min')
    RETURNING id
), email AS (
    INSERT INTO emails (buyer_id, template, context)
    SELECT id, 'sign_in', %(context)s FROM account
    RETURNING id
)
SELECT enqueue('send_email', 'mail', NULL, jsonb_build_object('email_id', id)) FROM email
