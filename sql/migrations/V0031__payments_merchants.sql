/* An organisation's accounts at a gateway. Several organisations may sell through one account there, the
   platform's; its limits, its circuit and its outages are then one. real_account_id: the first of the rows
   that are the same account at the gateway (triggers/gateway_accounts.sql). Circuits, slots and
   reconciliations have this id; outages are written for each of the rows.
   mode: whether money moves. access: how it is called: with the platform's key for the platform's own
   account or for one that is connected to it (external_account, in a header), or with the organisation's
   own keys, which are sealed. state: 'checking' until the gateway has said whose account it is; 'refused' if
   it said no (refusal). */
alter table gateway_accounts
    add mode text not null default 'live' check (mode in ('live', 'test')),
    add access text not null default 'platform' check (access in ('platform', 'connected', 'own_keys')),
    add real_account_id bigint references gateway_accounts,
    add state text not null default 'active' check (state in ('checking', 'active', 'refused')),
    add refusal text,
    add keys_checked_at timestamptz,
    add constraint gateway_accounts_external check (access = 'platform' or provider = 'stripe'),
    add constraint gateway_accounts_refusal check ((state = 'refused') <= (refusal is not null)),
    add constraint gateway_accounts_connected check (access <> 'connected' or external_account is not null);

/* A platform's account had no id of its own here. */
update gateway_accounts set access = 'connected' where provider = 'stripe' and external_account is not null;
update gateway_accounts a set real_account_id = (
    select min(o.id) from gateway_accounts o
    where o.id = a.id or o.provider = 'stripe' and a.provider = 'stripe'
        and o.external_account is not distinct from a.external_account);
alter table gateway_accounts alter real_account_id set not null;

/* One row is the real account of the platform in each mode, and one of each account of an organisation. */
create unique index gateway_accounts_one_real on gateway_accounts (provider, mode, coalesce(external_account, ''))
    where real_account_id = id and provider <> 'offline' and (access = 'platform' or external_account is not null);
create index gateway_accounts_real on gateway_accounts (real_account_id);

delete from gateway_slots s using gateway_accounts a where a.id = s.gateway_account_id and a.real_account_id <> a.id;
delete from gateway_circuits c using gateway_accounts a where a.id = c.gateway_account_id and a.real_account_id <> a.id;
update outages o set closed_at = clock_timestamp()
from gateway_accounts a
where o.closed_at is null and a.id = o.gateway_account_id and a.real_account_id <> a.id;

/* reason: 'away', or 'key_refused': it answers, but does not accept our key for this account. */
alter table outages add reason text not null default 'away' check (reason in ('away', 'key_refused'));
