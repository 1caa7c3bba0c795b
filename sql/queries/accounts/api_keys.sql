-- add_organisation --
-- Adds an organisation, with the Stripe account of this installation as its merchant of record.
WITH organisation AS (
    INSERT INTO organisations (name) VALUES (%(name)s) RETURNING id
), gateway_account AS (
    INSERT INTO gateway_accounts (organisation_id, provider) SELECT id, 'stripe' FROM organisation
)
SELECT id FROM organisation

-- add_key --
-- Adds an API key. Only its hash is stored; the key itself is shown once.
INSERT INTO api_keys (organisation_id, role, name, secret_sha256)
VALUES (%(organisation_id)s, %(role)s, %(name)s, %(secret_sha256)s)
RETURNING id

-- find_key --
-- The role and organisation of a key that was not revoked.
SELECT id, role, organisation_id FROM api_keys
WHERE secret_sha256 = %(secret_sha256)s AND revoked_at IS NULL

-- list_keys --
-- All keys, including revoked ones.
SELECT k.id, k.role, k.name, k.organisation_id, o.name AS organisation, k.created_at, k.revoked_at
FROM api_keys k LEFT JOIN organisations o ON o.id = k.organisation_id
ORDER BY k.id

-- revoke_key --
-- Revokes a key.
UPDATE api_keys SET revoked_at = clock_timestamp()
WHERE id = %(key_id)s AND revoked_at IS NULL
RETURNING id
