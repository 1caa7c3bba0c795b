/* A lobby before the sale, and its draw: whoever is in the lobby when it closes gets a number by lot.

   The lot can be checked by anybody: a secret is committed to (its hash is published) before the lobby
   opens, the list of accounts is fixed and its hash published when it has closed, and only then does a
   public value become known that was named beforehand. The order follows from the three. */

alter table events
    add column lobby_opens_at timestamptz,
    add column lobby_closes_at timestamptz,
    add constraint events_lobby check (
        num_nulls(lobby_opens_at, lobby_closes_at) = 2
        or num_nulls(lobby_opens_at, lobby_closes_at) = 0
            and lobby_opens_at < lobby_closes_at and lobby_closes_at <= on_sale_at);

/* accounts: the list, sorted; lobby_numbers: those of their entries, in the same order, by which
   whoever committed after the list was fixed is told apart. drawn: the accounts in the order of their
   numbers, 1 first. Arrays, because they are written once and read as a whole.
   public_source: what the public value will be and when it becomes known; null: there will be none. */
create table draws (
    event_id bigint primary key references events,
    secret bytea not null check (length(secret) = 32),
    commitment bytea not null generated always as (sha256(secret)) stored,
    public_source text check (length(public_source) between 1 and 1000),
    committed_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    accounts bigint[],
    lobby_numbers bigint[],
    list_sha256 bytea check (length(list_sha256) = 32),
    list_count integer,
    public_value text check (length(public_value) between 1 and 1000),
    value_given_at timestamptz,
    seed bytea check (length(seed) = 32),
    drawn bigint[],
    drawn_at timestamptz,
    check (num_nulls(closed_at, accounts, lobby_numbers, list_sha256, list_count) in (0, 5)),
    check (cardinality(accounts) = list_count and cardinality(lobby_numbers) = list_count),
    check (num_nulls(public_value, value_given_at) in (0, 2)),
    check (public_value is null or public_source is not null and closed_at is not null),
    check (num_nulls(seed, drawn, drawn_at) in (0, 3)),
    check (cardinality(drawn) = list_count),
    check (drawn_at is null or closed_at is not null
        and (public_source is null or public_value is not null))
);
create index draws_to_do on draws (event_id) where drawn_at is null;
create index draws_closed on draws (closed_at);

create index entries_lobby on entries (event_id, number) where state = 'lobby';

insert into legal_moves (noun, old_state, new_state) values ('entry', 'lobby', 'unavailable');
