-- invite --
-- Invites an account, by mail.
SELECT invite(%(organisation_id)s, %(account_id)s, %(role)s, %(inviter_id)s, %(code_sha256)s, %(mail)s) AS id

-- list_invitations --
-- Invitations of an organisation that are open.
SELECT i.id, b.email, i.role, i.created_at, i.expires_at
FROM invitations i JOIN buyers b ON b.id = i.account_id
WHERE i.organisation_id = %(organisation_id)s AND i.accepted_at IS NULL AND i.ended_at IS NULL
    AND i.expires_at > clock_timestamp() AND (%(starting_after)s::bigint IS NULL OR i.id > %(starting_after)s)
ORDER BY i.id LIMIT %(limit)s

-- get_invitation --
-- An invitation of an organisation that is open.
SELECT i.id, b.email, i.role, i.created_at, i.expires_at
FROM invitations i JOIN buyers b ON b.id = i.account_id
WHERE i.id = %(invitation_id)s AND i.organisation_id = %(organisation_id)s AND i.accepted_at IS NULL
    AND i.ended_at IS NULL AND i.expires_at > clock_timestamp()

-- read_invitation --
-- What an open invitation is for, by its code. provider_of: the organisation, if it has an identity provider.
SELECT o.name AS organisation, i.role, i.expires_at, p.organisation_id AS provider_of
FROM invitations i LEFT JOIN organisations o ON o.id = i.organisation_id
    LEFT JOIN identity_providers p ON p.organisation_id = i.organisation_id
WHERE i.code_sha256 = %(code_sha256)s AND i.accepted_at IS NULL AND i.ended_at IS NULL
    AND i.expires_at > clock_timestamp()

-- withdraw_invitation --
-- Ends an invitation that is open.
UPDATE invitations SET ended_at = clock_timestamp()
WHERE id = %(invitation_id)s AND organisation_id = %(organisation_id)s AND accepted_at IS NULL
    AND ended_at IS NULL
RETURNING id, account_id, role

-- accept_invitation --
-- Makes an invited account a member.
SELECT accept_invitation(%(account_id)s, %(code_sha256)s) AS outcome
