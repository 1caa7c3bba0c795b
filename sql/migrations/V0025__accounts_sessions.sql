/* Sign-ins of a person: one row for each, until it is ended or has not been used for a while.
   organisation_id: an identity provider of that organisation said who it is; it opens that organisation only.
   carrier: whether a browser's cookie or a program's bearer token has it. authenticated_by: how the person
   signed in. second_factor_at: when a second factor was last given. refreshes: how many refresh tokens were
   used; a refresh token contains this count, so one that was used before is noticed. used_at: when the
   session was last refreshed, access tokens count from then. expires_at: if it is not refreshed before. */
create table sessions (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts,
    organisation_id bigint references organisations,
    carrier text not null check (carrier in ('bearer', 'cookie')),
    name text not null check (length(name) between 1 and 200),
    authenticated_by text not null
        check (authenticated_by in ('sign_up', 'code', 'link', 'password', 'passkey', 'oidc')),
    second_factor_at timestamptz,
    refreshes integer not null default 0 check (refreshes >= 0),
    created_at timestamptz not null default clock_timestamp(),
    used_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null default clock_timestamp() + interval '30 days',
    ended_at timestamptz,
    constraint sessions_of_organisation check (organisation_id is null or authenticated_by = 'oidc')
);
create index sessions_account on sessions (account_id, id);
create index sessions_ended on sessions (ended_at) where ended_at is not null;
create index sessions_expire on sessions (expires_at);

/* blocked_at: an operator keeps the person out; blocked_reason: why, for operators. */
alter table accounts
    add column blocked_at timestamptz,
    add column blocked_reason text check (length(blocked_reason) between 1 and 500),
    add constraint accounts_blocked check ((blocked_at is null) = (blocked_reason is null));
