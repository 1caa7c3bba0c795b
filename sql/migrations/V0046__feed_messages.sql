/* The feed: what happened in an organisation's sales, in numbered messages.

   A job numbers them a moment later (sql/functions/feed/number_feed.sql), so a sale writes nothing for the feed
   but the id of its transaction: the state log has the moves of bookings, payments and refunds already, and
   entries are told as joined by their own rows. A note is written for what neither of them says. */

/* xid: the transaction that wrote the row. Every transaction below the oldest one that is open has ended, so
   what they wrote is all there, and is told in one piece. Null: from before the feed.
   Block ranges instead of a tree: an insert pays almost nothing, and recent rows lie together. */
alter table state_log add column xid bigint;
alter table state_log alter column xid set default pg_current_xact_id()::text::bigint;
drop index state_log_at;
create index state_log_at on state_log using brin (at, xid) with (pages_per_range = 16, autosummarize = on);
alter table entries add column xid bigint;
alter table entries alter column xid set default pg_current_xact_id()::text::bigint;
create index entries_xid on entries using brin (xid) with (pages_per_range = 32, autosummarize = on);

/* Notes for the feed, until they are told: entries that were decided without a booking (noun entry, state: the
   new one, or numbered), tickets that were returned (noun booking, state: free or blocked, what became of the
   seats; ids and guids: booking and seat, side by side), seats that an organiser has blocked or unblocked (noun
   seats). */
create table feed_notes (
    id bigint generated always as identity,
    xid bigint not null default pg_current_xact_id()::text::bigint,
    at timestamptz not null default clock_timestamp(),
    event_id bigint not null,
    noun text not null check (noun in ('entry', 'booking', 'seats')),
    state text not null,
    ids uuid[],
    guids text[],
    primary key (xid, id),
    check (noun = 'seats' or ids is not null),
    check (noun = 'entry' or guids is not null)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

/* How far the feed is: one row, whose lock lets one job number at a time.

   from_xid: transactions below it are told. to_xid: the job is telling those below it, and is done with what
   they wrote up to after_at; the same as from_xid: no piece was begun. piece_at: when that piece was begun, at
   which all its transactions had ended. told_until: what had ended by then is told.
   since: transactions from from_xid on have written nothing before. It follows from a moment at which no
   transaction from next_xid on had begun, as soon as all below next_xid are told. */
create table feed_progress (
    only_one boolean primary key default true check (only_one),
    from_xid bigint not null,
    to_xid bigint not null check (to_xid >= from_xid),
    after_at timestamptz,
    piece_at timestamptz not null default clock_timestamp(),
    told_until timestamptz not null default clock_timestamp(),
    since timestamptz not null,
    next_xid bigint not null,
    next_at timestamptz not null default clock_timestamp(),
    began_at timestamptz not null default clock_timestamp(),
    check (to_xid > from_xid or after_at is null)
);

/* The last number of each organisation's feed; tests have a feed of their own. Numbers have no gaps. */
create table feed_heads (
    organisation_id bigint not null references organisations,
    is_test boolean not null,
    last_number bigint not null check (last_number > 0),
    primary key (organisation_id, is_test)
) with (fillfactor = 50);

/* Messages, in ids and figures: no names, addresses or words of persons (db/feed/messages.py has the types).
   subject: the booking, or the entry, or null: messages about one subject are in order. at: when it happened;
   told_at: when it got its number. Partitions by month, the oldest of which is dropped. */
create table feed_messages (
    organisation_id bigint not null,
    is_test boolean not null,
    number bigint not null,
    told_at timestamptz not null default clock_timestamp(),
    at timestamptz not null,
    event_id bigint not null,
    subject uuid,
    type text not null,
    version smallint not null default 1,
    data jsonb not null,
    primary key (organisation_id, is_test, number, told_at)
) partition by range (told_at);

/* Scopes of keys: 'test': the key gets what is told of events in test mode, and nothing of the others. */
alter table api_keys
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes_check check (scopes <@ array['dangerous', 'test']);
