-- add_account --
-- Somebody who buys; a guest has no password.
WITH account AS (
    INSERT INTO accounts (password_hash) VALUES (%(password_hash)s) RETURNING id
)
INSERT INTO buyers (id, email, name)
SELECT id, %(email)s, %(name)s FROM account
RETURNING id

-- find_account --
-- By address, whatever its case; accounts that were closed cannot sign in.
SELECT a.id, a.password_hash
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE lower(b.email) = lower(%(email)s) AND a.closed_at IS NULL

-- get_account --
-- What an account is told about itself.
SELECT b.id, b.name, b.email
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE b.id = %(account_id)s AND a.closed_at IS NULL

-- send_sign_in_code --
-- The e-mail with a code, and the task that sends it.
WITH email AS (
    INSERT INTO emails (buyer_id, template, context)
    VALUES (%(account_id)s, 'sign_in', %(context)s)
    RETURNING id
)
SELECT enqueue('send_email', 'mail', NULL, jsonb_build_object('email_id', id)) FROM email
