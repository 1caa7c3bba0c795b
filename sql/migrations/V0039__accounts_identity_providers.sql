/* Where an organisation's staff sign in (OpenID Connect). factor_amr, factor_acr: values of the claims amr and acr
   that count as a second factor. The client's secret is in sealed_secrets. */
create table identity_providers (
    organisation_id bigint primary key references organisations,
    issuer text not null check (length(issuer) between 1 and 500),
    client_id text not null check (length(client_id) between 1 and 200),
    factor_amr text[] not null default '{}',
    factor_acr text[] not null default '{}',
    changed_at timestamptz not null default clock_timestamp()
);

alter table memberships add constraint memberships_in_organisation unique (id, organisation_id);

/* Whom an organisation's provider means by a subject: one of its own members. The foreign key is of the pair, so an
   identity cannot be of a membership elsewhere. It is deleted when the membership ends. */
create table identities (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    issuer text not null check (length(issuer) between 1 and 500),
    subject text not null check (length(subject) between 1 and 255),
    membership_id bigint not null unique,
    created_at timestamptz not null default clock_timestamp(),
    constraint identities_one_member unique (organisation_id, issuer, subject),
    constraint identities_of_own_member foreign key (membership_id, organisation_id)
        references memberships (id, organisation_id)
);

create index sessions_organisation on sessions (organisation_id)
    where organisation_id is not null and ended_at is null;

alter table sealed_secrets
    drop constraint sealed_secrets_purpose_check,
    add constraint sealed_secrets_purpose_check
        check (purpose in ('stripe_key', 'stripe_webhook_secret', 'totp_seed', 'oidc_client_secret'));
