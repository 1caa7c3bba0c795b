/* Logs of changes, the auditor's progress, statistics and archives. */


/* ---- Legal moves and logs -------------------------------------------------------------------- */

create table legal_moves (
    noun text not null,
    old_state text not null,
    new_state text not null,
    primary key (noun, old_state, new_state)
);
insert into legal_moves (noun, old_state, new_state)
select noun, old_state, unnest(string_to_array(targets, ' '))
from (values
    ('entry', 'lobby', 'waiting unavailable left lapsed'),
    ('entry', 'waiting', 'standby admitted booked unavailable left lapsed'),
    ('entry', 'standby', 'waiting admitted booked unavailable left lapsed'),
    ('entry', 'admitted', 'standby booked left lapsed'),
    ('seat', 'free', 'held sold blocked'),
    ('seat', 'held', 'free sold'),
    -- Blocked: its ticket was returned, and it is not to be sold again.
    ('seat', 'sold', 'free blocked'),
    ('seat', 'blocked', 'free'),
    ('booking', 'held', 'authorising expired cancelled'),
    ('booking', 'authorising', 'held secured expiring review failed'),
    ('booking', 'review', 'secured expiring failed'),
    -- Review: a payment that was authorised at the last moment is reviewed like any other.
    ('booking', 'expiring', 'expired secured cancelled review'),
    -- Held, authorising: a charge at once was declined, or has to be approved by the buyer.
    ('booking', 'secured', 'confirmed failed held authorising'),
    ('booking', 'confirmed', 'cancelled frozen'),
    ('booking', 'frozen', 'confirmed cancelled'),
    ('payment', 'intended', 'requires_action processing authorised captured failed unknown voided'),
    ('payment', 'unknown', 'intended requires_action processing authorised captured failed voided'),
    ('payment', 'requires_action', 'processing authorised captured failed unknown voided'),
    ('payment', 'processing', 'requires_action authorised captured failed voided'),
    ('payment', 'authorised', 'captured voided failed unknown'),
    -- Captured: a voided offline payment can still be marked as paid. It is refunded.
    ('payment', 'voided', 'failed'),
    ('refund', 'pending', 'succeeded failed'),
    ('refund', 'succeeded', 'failed')
) as moves (noun, old_state, targets);

/* The state log: append-only, and only triggers may write it. ensure_partitions makes monthly partitions
   ahead. state_log_at: finds recent changes, and costs an insert almost nothing. */
create table state_log (
    event_id bigint not null,
    noun text not null,
    id uuid not null,
    old_state text,
    new_state text not null,
    actor text,
    at timestamptz not null default clock_timestamp()
) partition by range (at);
create index state_log_subject on state_log (event_id, id, at);
create index state_log_at on state_log using brin (at) with (pages_per_range = 16, autosummarize = on);

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    action text not null,
    event_id bigint,
    detail jsonb not null default '{}'
);
create index audit_log_event on audit_log (event_id, id);
create index audit_log_age on audit_log (at);

/* The auditor's progress. 'changes': the time up to which state_log was checked; 'whole': the invariants
   that were checked since started_at, and those of them that could not be checked in time. */
create table audits (
    name text primary key check (name in ('changes', 'whole')),
    until timestamptz not null default clock_timestamp(),
    started_at timestamptz not null default clock_timestamp(),
    done text[] not null default '{}',
    slow text[] not null default '{}'
);
insert into audits (name) values ('changes'), ('whole');

/* Totals by event and day; the job `statistics` writes them. */
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


/* ---- Archives -------------------------------------------------------------------------------- */

/* Bookings and entries of old events are moved here, booking by booking, into the month of the event's end.
   document: the rows of all tables, by the names of archive_parts; the other columns are for searches. An
   archive has no foreign keys, because the rows that it refers to may be deleted. */
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

/* Finds the booking of a late notification. */
create table archived_payments (
    month date not null,
    payment_id uuid not null,
    gateway_account_id bigint not null,
    gateway_ref text,
    event_id bigint not null,
    booking_id uuid not null,
    primary key (month, payment_id)
) partition by range (month);
create index archived_payments_gateway on archived_payments (gateway_ref);
create index archived_payments_booking on archived_payments (event_id, booking_id);

/* Entries without a booking. */
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
