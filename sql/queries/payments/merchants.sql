-- find_access --
-- How an account at the gateway is called, and its own key, sealed.
SELECT a.organisation_id, a.access, a.mode, a.external_account, s.sealed
FROM gateway_accounts a
LEFT JOIN sealed_secrets s ON a.access = 'own_keys' AND s.purpose = 'stripe_key' AND s.owner = a.id::text
WHERE a.id = %(account_id)s

-- find_signer --
-- The secret that signs an account's notifications, sealed.
SELECT a.organisation_id, s.sealed
FROM gateway_accounts a JOIN sealed_secrets s ON s.purpose = 'stripe_webhook_secret' AND s.owner = a.id::text
WHERE a.id = %(account_id)s AND a.provider = 'stripe'

-- add_account --
-- Adds an account of an organisation, which the gateway has to know.
INSERT INTO gateway_accounts (organisation_id, provider, access, mode, external_account, statement_descriptor, state)
VALUES (%(organisation_id)s, 'stripe', %(access)s, %(mode)s, %(external_account)s, %(statement_descriptor)s,
    'checking')
RETURNING id

-- list_accounts --
-- An organisation's accounts at gateways, and whether they can be used.
SELECT a.id, a.provider, a.mode, a.access, a.external_account, a.statement_descriptor, a.state, a.refusal,
    a.keys_checked_at, o.opened_at AS away_since, o.reason AS away_reason,
    CASE WHEN a.access = 'own_keys' THEN EXISTS (
        SELECT FROM sealed_secrets s WHERE s.purpose = 'stripe_webhook_secret' AND s.owner = a.id::text) END
    AS has_webhook_secret
FROM gateway_accounts a LEFT JOIN outages o ON o.gateway_account_id = a.id AND o.closed_at IS NULL
WHERE a.organisation_id = %(organisation_id)s AND a.provider = 'stripe'
    AND (%(account_id)s::bigint IS NULL OR a.id = %(account_id)s) AND a.id > %(starting_after)s
ORDER BY a.id LIMIT %(limit)s

-- find_check --
-- What is to be asked of the gateway about an account, which is locked.
SELECT a.id, a.organisation_id, a.access, a.mode, a.external_account, a.state, s.sealed
FROM gateway_accounts a
LEFT JOIN sealed_secrets s ON s.purpose = 'stripe_key' AND s.owner = a.id || ':offered'
WHERE a.id = %(account_id)s
FOR UPDATE OF a

-- accept_account --
-- The gateway has said whose account it is.
UPDATE gateway_accounts
SET external_account = %(external_account)s, state = 'active', refusal = NULL, keys_checked_at = clock_timestamp()
WHERE id = %(account_id)s

-- refuse_account --
-- The gateway does not accept the keys, or they are another account's. An account that was in use stays in
-- use, with its former keys.
UPDATE gateway_accounts
SET state = CASE state WHEN 'checking' THEN 'refused' ELSE state END, refusal = %(refusal)s
WHERE id = %(account_id)s

-- find_owner --
-- Whether an account at the gateway is connected already, by another row.
SELECT id FROM gateway_accounts
WHERE provider = 'stripe' AND mode = %(mode)s AND external_account = %(external_account)s AND id <> %(account_id)s
