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
INSERT INTO api_keys
    (organisation_id, role, name, scopes, networks, expires_at, account_id, prefix, secret_sha256)
VALUES (%(organisation_id)s, %(role)s, %(name)s, %(scopes)s, %(networks)s::text[]::cidr[], %(expires_at)s,
    %(account_id)s, %(prefix)s, %(secret_sha256)s)
RETURNING id

-- find_key --
-- The holder of a key that is valid: that was neither revoked nor has expired, or that was replaced a while
-- ago, and that no person has seen who was blocked or has closed the account. is_noted: whether its use was
-- noted within the last minute.
SELECT id, role, organisation_id, scopes, networks::text[], account_id,
    coalesce(used_at > clock_timestamp() - interval '1 min', false) AS is_noted
FROM api_keys
WHERE (secret_sha256 = %(secret_sha256)s
        OR old_secret_sha256 = %(secret_sha256)s AND old_until > clock_timestamp())
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
    AND NOT EXISTS (
        SELECT FROM accounts a
        WHERE a.id = CASE secret_sha256 WHEN %(secret_sha256)s THEN account_id ELSE old_account_id END
            AND (a.blocked_at IS NOT NULL OR a.closed_at IS NOT NULL))

-- note_use --
-- Notes that a key is used. It waits for no other transaction: another request will note it.
UPDATE api_keys SET used_at = clock_timestamp()
WHERE id = (SELECT id FROM api_keys WHERE id = %(key_id)s FOR NO KEY UPDATE SKIP LOCKED)

-- list_keys --
-- Keys of an organisation, or of all, including revoked ones; from the given one on.
SELECT k.id, k.role, k.name, k.prefix, k.scopes, k.networks::text[], k.organisation_id,
    o.name AS organisation, k.created_at, k.used_at, k.expires_at, k.old_until, k.revoked_at
FROM api_keys k LEFT JOIN organisations o ON o.id = k.organisation_id
WHERE (%(organisation_id)s::bigint IS NULL OR k.organisation_id = %(organisation_id)s)
    AND (%(starting_after)s::bigint IS NULL OR k.id > %(starting_after)s)
ORDER BY k.id LIMIT %(limit)s

-- get_key --
-- A key of an organisation, or any.
SELECT id, role, name, prefix, scopes, networks::text[], organisation_id, created_at, used_at, expires_at,
    old_until, revoked_at
FROM api_keys
WHERE id = %(key_id)s AND (%(organisation_id)s::bigint IS NULL OR organisation_id = %(organisation_id)s)

-- rotate_key --
-- Gives a key that is valid another secret. The one before stays good for the overlap, at most as long as
-- it would have been; the one before that ends.
UPDATE api_keys
SET old_secret_sha256 = secret_sha256, old_account_id = account_id,
    old_until = clock_timestamp() + make_interval(secs => %(overlap)s),
    secret_sha256 = %(secret_sha256)s, prefix = %(prefix)s, account_id = %(account_id)s
WHERE id = %(key_id)s AND (%(organisation_id)s::bigint IS NULL OR organisation_id = %(organisation_id)s)
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
RETURNING id

-- revoke_key --
-- Revokes a key of an organisation, or any, with the one before it.
UPDATE api_keys SET revoked_at = clock_timestamp()
WHERE id = %(key_id)s AND (%(organisation_id)s::bigint IS NULL OR organisation_id = %(organisation_id)s)
    AND revoked_at IS NULL
RETURNING id
