/* Usher's schema, one migration for each chapter. ASCII only. Functions live in sql/functions and are
   created anew at every migration run.

   Rules that the tables keep:
   - event_id is the first column of every key of an event's tables (it is the key of later shards);
   - tables with a high write rate have no foreign key to events or lanes (a key-share lock on a hot
     row costs a multixact per commit);
   - money is an integer in minor units beside its currency;
   - the database's clock decides every deadline;
   - names and addresses are in buyers only. */

create function uuid7() returns uuid language plpgsql volatile parallel safe as $$
declare
    ms bigint := floor(extract(epoch from clock_timestamp()) * 1000);
    bytes bytea := uuid_send(gen_random_uuid());
begin
    bytes := overlay(bytes placing substring(int8send(ms) from 3) from 1 for 6);
    bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112);
    return encode(bytes, 'hex')::uuid;
end $$;

/* PostgreSQL 18 has such a function, ten times as fast. */
do $$ begin
    if to_regprocedure('pg_catalog.uuidv7()') is not null then
        create or replace function uuid7() returns uuid language sql volatile parallel safe
            as 'select pg_catalog.uuidv7()';
    end if;
end $$;


/* ---- Who sells ------------------------------------------------------------------------------- */

/* review_seconds: how long a review may take; review_ends: the decision if none was made by then. */
create table organisations (
    id bigint generated always as identity primary key,
    name text not null check (length(name) between 1 and 200),
    review_seconds integer not null default 86400 check (review_seconds between 60 and 518400),
    review_ends text not null default 'reject' check (review_ends in ('reject', 'approve')),
    created_at timestamptz not null default clock_timestamp()
);

/* The merchant of record. 'offline' is the box office or a bank transfer. */
create table gateway_accounts (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    provider text not null check (provider in ('stripe', 'offline')),
    external_account text,
    statement_descriptor text check (length(statement_descriptor) between 5 and 22),
    created_at timestamptz not null default clock_timestamp()
);
create unique index gateway_accounts_one_offline on gateway_accounts (organisation_id)
    where provider = 'offline';

create table api_keys (
    id bigint generated always as identity primary key,
    organisation_id bigint references organisations,
    role text not null check (role in ('organiser', 'operator')),
    name text not null,
    secret_sha256 bytea not null unique,
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz,
    check (role = 'operator' or organisation_id is not null)
);


/* ---- Who buys -------------------------------------------------------------------------------- */

/* An account can be made for any address. verified_at: the first sign-in by a mailed code, which proves that
   the buyer reads the address's mail; it ends a password and the tokens of earlier epochs. codes_used: how
   many codes were used; a code contains this count, so it is good for one sign-in. code_sent_at: when the
   last code was mailed. */
create table accounts (
    id bigint generated always as identity primary key,
    password_hash text,
    verified_at timestamptz,
    code_sent_at timestamptz,
    codes_used integer not null default 0 check (codes_used >= 0),
    token_epoch integer not null default 0 check (token_epoch >= 0),
    tokens_ended_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    check ((token_epoch = 0) = (tokens_ended_at is null))
);
create index accounts_tokens_ended on accounts (tokens_ended_at) where tokens_ended_at is not null;

create table buyers (
    id bigint primary key references accounts,
    email text not null check (length(email) between 3 and 254),
    name text not null check (length(name) between 1 and 200),
    locale text not null default 'en'
);
create unique index buyers_email on buyers (lower(email));

/* Answers to requests, for repeated requests with the same idempotency key. */
create table idempotency_keys (
    principal text not null,
    route text not null,
    key text not null,
    request_sha256 bytea not null,
    status smallint not null check (status between 200 and 499),
    response jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (principal, route, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
