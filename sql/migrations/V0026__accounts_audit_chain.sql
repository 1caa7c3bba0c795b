/* The audit log is append-only, and chained per organisation: see chain_acts. */

/* account_id: whom the act is about, where one account is; organisation_id null: of the platform. personal_mac:
   HMAC-SHA256 of the personal values under the account's key; null: the act has none. */
alter table audit_log add column organisation_id bigint;
alter table audit_log add column account_id bigint;
alter table audit_log add column personal_mac bytea check (length(personal_mac) = 32);
update audit_log a set organisation_id = e.organisation_id from events e where e.id = a.event_id;
create index audit_log_organisation on audit_log (organisation_id, id);
create index audit_log_account on audit_log (account_id, id) where account_id is not null;
create index audit_log_purges on audit_log (organisation_id, id) where action = 'acts purged';

/* The key under which an account's personal values are in the chain; it is deleted with them. */
create table account_keys (
    account_id bigint primary key references accounts,
    key bytea not null check (length(key) = 32)
);

/* Personal values of an act, apart from it, since they can be erased and it cannot. */
create table audit_personal (
    act_id bigint primary key references audit_log,
    account_id bigint not null references accounts,
    personal jsonb not null
);
create index audit_personal_account on audit_personal (account_id);

/* Acts that are not in a chain yet. A trigger adds each in the transaction of the act. */
create table audit_unchained (
    act_id bigint primary key references audit_log
);
insert into audit_unchained (act_id) select id from audit_log;

/* The chain of each organisation; 0: of the platform. hash: of the hash before, the number and the act. */
create table audit_chain (
    organisation_id bigint not null check (organisation_id >= 0),
    number bigint not null check (number > 0),
    act_id bigint not null unique references audit_log,
    hash bytea not null check (length(hash) = 32),
    chained_at timestamptz not null default clock_timestamp(),
    primary key (organisation_id, number)
);

/* The personal values of an account that was erased are gone, and none are kept any more. */
alter table accounts add column erased_at timestamptz;
