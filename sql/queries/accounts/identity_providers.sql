-- get_provider --
-- The identity provider of an organisation.
SELECT p.organisation_id, o.name AS organisation, p.issuer, p.client_id, p.factor_amr, p.factor_acr, p.changed_at
FROM identity_providers p JOIN organisations o ON o.id = p.organisation_id
WHERE p.organisation_id = %(organisation_id)s

-- set_provider --
-- Sets an organisation's identity provider, in place of one before.
INSERT INTO identity_providers AS p (organisation_id, issuer, client_id, factor_amr, factor_acr)
VALUES (%(organisation_id)s, %(issuer)s, %(client_id)s, %(factor_amr)s, %(factor_acr)s)
ON CONFLICT (organisation_id) DO UPDATE
SET issuer = excluded.issuer, client_id = excluded.client_id, factor_amr = excluded.factor_amr,
    factor_acr = excluded.factor_acr, changed_at = clock_timestamp()

-- remove_provider --
-- Removes an organisation's identity provider.
DELETE FROM identity_providers WHERE organisation_id = %(organisation_id)s RETURNING organisation_id

-- end_provider_sessions --
-- Ends the sessions that an organisation's provider has opened.
UPDATE sessions SET ended_at = clock_timestamp()
WHERE organisation_id = %(organisation_id)s AND ended_at IS NULL

-- bind_identity --
-- Accepts an invitation as an identity of the organisation's provider.
SELECT bind_identity(%(organisation_id)s, %(issuer)s, %(subject)s, %(code_sha256)s, %(email)s) AS outcome

-- find_identity --
-- The member that an identity is bound to. Who ends
-- the membership or changes the provider waits until the session is there, and ends it.
SELECT m.account_id, a.token_epoch
FROM identity_providers p
    JOIN identities i ON i.organisation_id = p.organisation_id AND i.issuer = p.issuer
    JOIN memberships m ON m.id = i.membership_id AND m.ended_at IS NULL
    JOIN accounts a ON a.id = m.account_id
WHERE p.organisation_id = %(organisation_id)s AND p.issuer = %(issuer)s AND p.client_id = %(client_id)s
    AND i.subject = %(subject)s
FOR SHARE OF p, m
