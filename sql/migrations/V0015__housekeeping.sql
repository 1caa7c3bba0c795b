/* The clock's jobs, the auditor, retention and archives. */

/* catch_up: of the ticks that were missed, how many are run after all, each told its time; 0: a missed
   tick is skipped, for the next finds whatever it would have. A job that failed waits until retry_at, and
   its tick is not lost. failures: in a row. declared_at: it has never run since. */
alter table jobs
    add column catch_up integer not null default 0 check (catch_up >= 0),
    add column declared_at timestamptz not null default clock_timestamp(),
    add column retry_at timestamptz,
    add column failures integer not null default 0 check (failures >= 0),
    add column last_error text,
    add column last_failed_at timestamptz;

/* How far the auditor has come. 'changes': state_log was gone through until then; 'whole': which
   invariants were checked since started_at, and which of them could not be in time. */
create table audits (
    name text primary key check (name in ('changes', 'whole')),
    until timestamptz not null default clock_timestamp(),
    started_at timestamptz not null default clock_timestamp(),
    done text[] not null default '{}',
    slow text[] not null default '{}'
);
insert into audits (name) values ('changes'), ('whole');

/* What changed lately, without an index that each change would have to enter. */
create index state_log_at on state_log using brin (at) with (pages_per_range = 16, autosummarize = on);

/* A finding of the auditor is a dead letter without a task, one for each invariant and subject. */
create unique index dead_letters_one_per_finding on dead_letters (key)
    where actor = 'audit' and resolved_at is null;

/* What is purged is found by its age. */
create index idempotency_keys_age on idempotency_keys (created_at);
create index webhook_inbox_age on webhook_inbox (received_at);
create index audit_log_age on audit_log (at);
create index dead_letters_resolved on dead_letters (resolved_at) where resolved_at is not null;
create index emails_age on emails (created_at) where booking_id is null;

/* Archives: when an event is long over, whatever was sold and whoever queued for it moves here, booking by
   booking, into the month of the event's end. document: the rows of all tables, by the names of
   archive_parts; the columns beside it are what one looks for. An archive has no
   foreign keys: what it refers to may go. */
create table archived_events (
    month date not null,
    event_id bigint not null,
    organisation_id bigint not null,
    name text not null,
    currency char(3) not null,
    document jsonb not null,
    archived_at timestamptz not null default clock_timestamp(),
    primary key (month, event_id)
) partition by range (month);

create table archived_bookings (
    month date not null,
    event_id bigint not null,
    id uuid not null,
    code text not null,
    organisation_id bigint not null,
    buyer_id bigint not null,
    state text not null,
    quantity smallint not null,
    currency char(3) not null,
    total bigint not null,
    captured bigint not null,
    refunded bigint not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    document jsonb not null,
    archived_at timestamptz not null default clock_timestamp(),
    primary key (month, event_id, id)
) partition by range (month);
create index archived_bookings_buyer on archived_bookings (buyer_id, created_at desc);

/* By which late news finds its booking. */
create table archived_payments (
    month date not null,
    payment_id uuid not null,
    gateway_account_id bigint not null,
    gateway_id text,
    event_id bigint not null,
    booking_id uuid not null,
    primary key (month, payment_id)
) partition by range (month);
create index archived_payments_gateway on archived_payments (gateway_id);
create index archived_payments_booking on archived_payments (event_id, booking_id);

/* Those who queued and did not book. */
create table archived_entries (
    month date not null,
    event_id bigint not null,
    id uuid not null,
    number bigint not null,
    buyer_id bigint not null,
    state text not null,
    document jsonb not null,
    primary key (month, event_id, id)
) partition by range (month);

/* archive_month: where an event's archive is, from its first piece on; archived_at: when all of it was
   there. An event that is being archived sells no more. */
alter table events
    add column archive_month date,
    add column archived_at timestamptz,
    add constraint events_archived check (archive_month is null or state in ('closed', 'cancelled')),
    add check (archived_at is null or archive_month is not null);
create index events_unarchived on events (greatest(starts_at, off_sale_at)) where archived_at is null;

/* Mails about refunds are found by their booking, too. */
create index emails_of_refunds on emails (event_id, booking_id) where refund_id is not null;

/* What a day brought, by event; made by the job `statistics`. */
create table daily_sales (
    day date not null,
    event_id bigint not null,
    organisation_id bigint not null,
    currency char(3) not null,
    bookings integer not null,
    seats integer not null,
    sold bigint not null,
    refunds integer not null,
    refunded bigint not null,
    primary key (day, event_id)
);
create index daily_sales_organisation on daily_sales (organisation_id, day);

/* Receipts are kept when what they are for is archived: the numbers of an organisation have no gaps. */
alter table if exists receipts drop constraint if exists receipts_refund_id_fkey;
