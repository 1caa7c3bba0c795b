/* Usher's schema. ASCII only; functions live in sql/functions and are created anew at every run.

   Rules that the tables keep:
   - event_id leads every key of an event-scoped table (a later move to several servers shards by it);
   - tables with a high write rate have no foreign key to events or lanes (a key-share lock on a hot
     row costs a multixact per commit);
   - money is an integer in minor units beside its currency;
   - every deadline is decided by this server's clock;
   - names and addresses live in buyers only. */

create function uuid7() returns uuid language plpgsql volatile parallel safe as $$
declare
    ms bigint := floor(extract(epoch from clock_timestamp()) * 1000);
    bytes bytea := uuid_send(gen_random_uuid());
begin
    bytes := overlay(bytes placing substring(int8send(ms) from 3) from 1 for 6);
    bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112);
    return encode(bytes, 'hex')::uuid;
end $$;

/* PostgreSQL 18 makes them itself, ten times as fast. */
do $$ begin
    if to_regprocedure('pg_catalog.uuidv7()') is not null then
        create or replace function uuid7() returns uuid language sql volatile parallel safe
            as 'select pg_catalog.uuidv7()';
    end if;
end $$;


/* ---- Who sells ------------------------------------------------------------------------------- */

create table organisations (
    id bigint generated always as identity primary key,
    name text not null check (length(name) between 1 and 200),
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

/* When the gateway could not be used: hold clocks are credited the overlap, when they are read. */
create table outages (
    gateway_account_id bigint not null references gateway_accounts,
    opened_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz check (closed_at >= opened_at),
    primary key (gateway_account_id, opened_at)
);
create unique index outages_one_open on outages (gateway_account_id) where closed_at is null;

/* The moment from which each endpoint of the gateway may be called again: calls take turns, as many a
   second as the account is allowed, whoever makes them. */
create table gateway_turns (
    gateway_account_id bigint not null references gateway_accounts,
    endpoint text not null,
    next_at timestamptz not null,
    primary key (gateway_account_id, endpoint)
) with (fillfactor = 10);

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

create table accounts (
    id bigint generated always as identity primary key,
    password_hash text,
    created_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz
);

create table buyers (
    id bigint primary key references accounts,
    email text not null check (length(email) between 3 and 254),
    name text not null check (length(name) between 1 and 200),
    locale text not null default 'en'
);
create unique index buyers_email on buyers (lower(email));


/* ---- Halls ----------------------------------------------------------------------------------- */

create table venues (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    name text not null check (length(name) between 1 and 200),
    city text not null default '',
    time_zone text not null,
    created_at timestamptz not null default clock_timestamp()
);

create table plans (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    venue_id bigint not null references venues,
    name text not null,
    created_at timestamptz not null default clock_timestamp()
);

create table plan_versions (
    id bigint generated always as identity primary key,
    plan_id bigint not null references plans,
    version integer not null check (version > 0),
    source jsonb not null,
    seat_count integer not null check (seat_count > 0),
    created_at timestamptz not null default clock_timestamp(),
    unique (plan_id, version)
);

create table plan_categories (
    plan_version_id bigint not null references plan_versions,
    category smallint not null check (category > 0),
    name text not null,
    color text not null default '',
    primary key (plan_version_id, category),
    unique (plan_version_id, name)
);

/* Seat integers carry the hall: two seats have consecutive integers if and only if they are
   neighbours, and smaller is better (db/catalogue/seating.py). centre: offset from the row's middle. */
create table plan_seats (
    plan_version_id bigint not null references plan_versions,
    seat integer not null check (seat > 0),
    guid text not null,
    category smallint not null,
    centre integer not null,
    accessible boolean not null,
    companion boolean not null,
    restricted boolean not null,
    general_admission boolean not null,
    zone text not null,
    row_label text not null,
    number text not null,
    x real not null,
    y real not null,
    primary key (plan_version_id, seat),
    unique (plan_version_id, guid),
    foreign key (plan_version_id, category) references plan_categories
);


/* ---- Events ---------------------------------------------------------------------------------- */

create table events (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    venue_id bigint not null references venues,
    plan_version_id bigint not null references plan_versions,
    gateway_account_id bigint not null references gateway_accounts,
    name text not null check (length(name) between 1 and 200),
    state text not null default 'draft' check (state in ('draft', 'on_sale', 'closed', 'cancelled')),
    starts_at timestamptz not null,
    on_sale_at timestamptz not null,
    off_sale_at timestamptz not null,
    time_zone text not null,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    seats_per_buyer smallint not null default 8 check (seats_per_buyer between 1 and 50),
    hold_seconds integer not null default 600 check (hold_seconds between 5 and 86400),
    terms text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    check (on_sale_at < off_sale_at)
);
create index events_organisation on events (organisation_id, id);

create table event_categories (
    event_id bigint not null references events,
    category smallint not null check (category > 0),
    name text not null,
    price bigint not null check (price between 0 and 99999999),
    fee bigint not null default 0 check (fee between 0 and 99999999),
    tax_rate numeric(6, 5) not null default 0 check (tax_rate between 0 and 1),
    primary key (event_id, category)
);

/* Seats set apart for somebody: a fan club, a sponsor, the box office. */
create table allocations (
    event_id bigint not null references events,
    allocation smallint not null check (allocation > 0),
    name text not null,
    channel text not null,
    primary key (event_id, allocation)
);


/* ---- The queue ------------------------------------------------------------------------------- */

/* One lane per event. vt: seats served / weight, and it is compared while the lane is busy.
   low_water: nobody waits below it, so that the drain need not read over the dead rows of those
   already served. It follows 2 s behind, as long as a join may take: whoever commits late is not
   passed by. low_water_next: where nobody waited below when it was last moved.
   standby_from: where the pass over standby entries is. stalled: nothing is free, but something held
   may still come back; a wake ends it. */
create table lanes (
    event_id bigint primary key,
    weight numeric not null default 1 check (weight > 0),
    vt numeric not null default 0,
    busy boolean not null default false,
    paused boolean not null default false,
    stalled boolean not null default false,
    in_flight_cap integer check (in_flight_cap > 0),
    low_water bigint not null default 0,
    low_water_next bigint not null default 0,
    low_water_reset_at timestamptz not null default clock_timestamp(),
    standby_from bigint not null default 0,
    now_serving bigint not null default 0
) with (fillfactor = 50);

/* Seats were released in this lane: those on standby must be looked at again, before later numbers. Or
   a booking was only settled: somebody may have nothing to hope for any more. Rows instead of a flag
   in lanes, because whoever releases seats holds no lock on the lane. */
create table lane_wakes (
    id bigint generated always as identity primary key,
    event_id bigint not null,
    released boolean not null default true
);
create index lane_wakes_event on lane_wakes (event_id);

create table entries (
    event_id bigint not null,
    id uuid not null default uuid7(),
    number bigint not null,
    organisation_id bigint not null,
    buyer_id bigint not null,
    state text not null default 'waiting' check (state in
        ('lobby', 'waiting', 'standby', 'admitted', 'booked', 'unavailable', 'left', 'lapsed')),
    quantity smallint not null check (quantity between 1 and 50),
    category smallint,
    together boolean not null default true,
    accessible smallint not null default 0 check (accessible between 0 and quantity),
    seats integer[] check (seats is null or cardinality(seats) = quantity),
    channel text not null default 'web',
    idempotency_key text not null check (length(idempotency_key) between 1 and 255),
    request_sha256 bytea not null,
    terms_accepted_at timestamptz,
    joined_at timestamptz not null default clock_timestamp(),
    decided_at timestamptz,
    booking_id uuid,
    reason text,
    primary key (event_id, id),
    unique (event_id, number),
    unique (event_id, buyer_id, idempotency_key),
    check ((state = 'booked') = (booking_id is not null)),
    check ((state in ('booked', 'unavailable', 'left', 'lapsed')) = (decided_at is not null))
) with (fillfactor = 80);
create unique index entries_one_active on entries (event_id, buyer_id)
    where state in ('lobby', 'waiting', 'standby', 'admitted');
create index entries_waiting on entries (event_id, number) where state = 'waiting';
create index entries_standby on entries (event_id, number) where state = 'standby';
create index entries_standby_category on entries (event_id, category) where state = 'standby';


/* ---- Bookings and seats ---------------------------------------------------------------------- */

create table bookings (
    event_id bigint not null,
    id uuid not null default uuid7(),
    code text not null,
    organisation_id bigint not null,
    gateway_account_id bigint not null,
    buyer_id bigint not null,
    entry_id uuid,
    channel text not null default 'web',
    state text not null check (state in ('held', 'authorising', 'expiring', 'review', 'secured',
        'confirmed', 'frozen', 'expired', 'cancelled', 'failed')),
    quantity smallint not null check (quantity between 1 and 50),
    currency char(3) not null,
    total bigint not null check (total >= 0),
    deadline timestamptz not null,
    payment_id uuid,
    terms_accepted_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz,
    ended_at timestamptz,
    reason text,
    primary key (event_id, id),
    unique (event_id, code),
    check (state not in ('authorising', 'expiring', 'review', 'secured') or payment_id is not null),
    check (state not in ('confirmed', 'frozen') or confirmed_at is not null),
    check (state not in ('confirmed', 'frozen') or total = 0 or payment_id is not null),
    check ((state in ('expired', 'cancelled', 'failed')) = (ended_at is not null))
) with (fillfactor = 80);
create index bookings_buyer on bookings (buyer_id, created_at desc);
create index bookings_open on bookings (event_id, deadline)
    where state in ('held', 'authorising', 'expiring', 'review', 'secured');

create table booking_items (
    event_id bigint not null,
    booking_id uuid not null,
    seat integer not null,
    category smallint not null,
    price bigint not null check (price >= 0),
    fee bigint not null check (fee >= 0),
    tax_rate numeric(6, 5) not null,
    tax bigint not null check (tax >= 0),
    currency char(3) not null,
    primary key (event_id, booking_id, seat)
);

/* A seat has at most one owner: it is one row, and booking_id is one column. That the booking exists,
   here and for the items, is checked once a statement (check_bookings_exist): as foreign
   keys, row by row, it took almost half of a reservation's time. */
create table seats (
    event_id bigint not null,
    seat integer not null,
    category smallint not null,
    centre integer not null,
    accessible boolean not null default false,
    kept boolean not null default false check (kept or not accessible),
    allocation smallint,
    state text not null default 'free' check (state in ('free', 'held', 'sold', 'blocked')),
    booking_id uuid,
    primary key (event_id, seat),
    check ((state in ('held', 'sold')) = (booking_id is not null))
) with (fillfactor = 50);
create index seats_free on seats (event_id, category, kept, seat)
    where state = 'free' and allocation is null;

/* The cap on seats per buyer and event. A counter, so that no race gets around it. */
create table buyer_seats (
    event_id bigint not null,
    buyer_id bigint not null,
    seats smallint not null,
    cap smallint not null,
    primary key (event_id, buyer_id),
    constraint buyer_seats_cap check (seats between 0 and cap)
) with (fillfactor = 70);

create table tickets (
    event_id bigint not null,
    id uuid not null default uuid7(),
    booking_id uuid not null,
    seat integer not null,
    secret text not null default replace(gen_random_uuid()::text, '-', ''),
    state text not null default 'valid' check (state in ('valid', 'void')),
    issued_at timestamptz not null default clock_timestamp(),
    voided_at timestamptz,
    primary key (event_id, id),
    foreign key (event_id, booking_id, seat) references booking_items,
    check ((state = 'void') = (voided_at is not null))
);
create unique index tickets_one_valid_per_seat on tickets (event_id, seat) where state = 'valid';
create index tickets_booking on tickets (event_id, booking_id);


/* ---- Money ----------------------------------------------------------------------------------- */

/* One attempt to pay. params is exactly what is sent to the gateway; idempotency_n is part of the
   key under which it is sent, and grows only when the fate of the earlier key is known. */
create table payments (
    id uuid primary key default uuid7(),
    event_id bigint not null,
    booking_id uuid not null,
    organisation_id bigint not null,
    gateway_account_id bigint not null references gateway_accounts,
    state text not null default 'intended' check (state in
        ('intended', 'requires_action', 'authorised', 'captured', 'failed', 'unknown', 'voided')),
    amount bigint not null check (amount > 0),
    currency char(3) not null,
    params jsonb not null,
    idempotency_n smallint not null default 1,
    first_sent_at timestamptz,
    gateway_id text,
    next_action jsonb,
    client_secret text,
    captured bigint not null default 0 check (captured between 0 and amount),
    refunded bigint not null default 0,
    failure_code text,
    failure_message text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    unique (gateway_account_id, gateway_id),
    foreign key (event_id, booking_id) references bookings,
    constraint payments_refunded check (refunded between 0 and captured),
    check (state <> 'captured' or captured > 0),
    check (state not in ('requires_action', 'authorised', 'captured', 'voided') or gateway_id is not null)
);
create unique index payments_one_live on payments (event_id, booking_id)
    where state in ('intended', 'requires_action', 'authorised', 'captured', 'unknown');
create index payments_booking on payments (event_id, booking_id, created_at);
alter table bookings add foreign key (payment_id) references payments deferrable initially deferred;

create table refunds (
    id uuid primary key default uuid7(),
    payment_id uuid not null references payments,
    event_id bigint not null,
    booking_id uuid not null,
    amount bigint not null check (amount > 0),
    currency char(3) not null,
    state text not null default 'pending' check (state in ('pending', 'succeeded', 'failed')),
    reason text not null,
    idempotency_n smallint not null default 1,
    first_sent_at timestamptz,
    gateway_id text unique,
    failure_code text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    foreign key (event_id, booking_id) references bookings
);
create index refunds_booking on refunds (event_id, booking_id);
create index refunds_payment on refunds (payment_id);

create table disputes (
    gateway_id text primary key,
    payment_id uuid not null references payments,
    event_id bigint not null,
    booking_id uuid not null,
    state text not null,
    reason text not null,
    amount bigint not null,
    currency char(3) not null,
    respond_by timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    foreign key (event_id, booking_id) references bookings
);

/* What Stripe told us, once each: the key is Stripe's event id. */
create table webhook_inbox (
    id text primary key,
    type text not null,
    payment_id uuid,
    payload jsonb not null,
    received_at timestamptz not null default clock_timestamp()
);


/* ---- E-mail ---------------------------------------------------------------------------------- */

create table emails (
    id uuid primary key default uuid7(),
    event_id bigint,
    booking_id uuid,
    buyer_id bigint not null,
    template text not null,
    context jsonb not null default '{}',
    state text not null default 'pending' check (state in ('pending', 'sent', 'skipped', 'failed')),
    attempts smallint not null default 0,
    last_error text,
    created_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    unique (event_id, booking_id, template),
    check ((state = 'sent') = (sent_at is not null))
) with (fillfactor = 80);


/* ---- Durable work ---------------------------------------------------------------------------- */

/* A row lives until its work is done; it is deleted in the transaction of the work's effect.
   resend_at: when the relay sends the next message for it. The worker alone leases. */
create table outbox (
    id bigint generated always as identity primary key,
    actor text not null,
    queue text not null,
    key text,
    args jsonb not null default '{}',
    event_id bigint,
    priority smallint not null default 50,
    run_at timestamptz not null default clock_timestamp(),
    resend_at timestamptz not null default clock_timestamp(),
    sends integer not null default 0,
    claims smallint not null default 0,
    failures integer not null default 0,
    lease_token uuid,
    lease_until timestamptz,
    again boolean not null default false,
    errors jsonb not null default '[]',
    trace text,
    created_at timestamptz not null default clock_timestamp(),
    check ((lease_token is null) = (lease_until is null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create unique index outbox_one_per_key on outbox (actor, key) where key is not null;
create index outbox_to_send on outbox (queue, resend_at);

create table dead_letters (
    id bigint generated always as identity primary key,
    task_id bigint not null,
    actor text not null,
    queue text not null,
    key text,
    args jsonb not null,
    event_id bigint,
    booking_id uuid,
    buyer_id bigint,
    reason text not null,
    claims integer not null,
    errors jsonb not null,
    trace text,
    created_at timestamptz not null,
    died_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text,
    check ((resolved_at is null) = (resolution is null))
);
create index dead_letters_open on dead_letters (died_at) where resolved_at is null;

/* The clock's jobs. Two clocks are safe: a tick is taken by a compare-and-set on next_at. */
create table jobs (
    name text primary key,
    every interval not null check (every > interval '0'),
    next_at timestamptz not null default clock_timestamp(),
    last_started_at timestamptz,
    last_finished_at timestamptz,
    last_result jsonb
);

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

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    action text not null,
    event_id bigint,
    detail jsonb not null default '{}'
);


/* ---- Legal moves and their log ---------------------------------------------------------------- */

create table legal_moves (
    noun text not null,
    old_state text not null,
    new_state text not null,
    primary key (noun, old_state, new_state)
);
insert into legal_moves (noun, old_state, new_state)
select noun, old_state, unnest(string_to_array(targets, ' '))
from (values
    ('entry', 'lobby', 'waiting left lapsed'),
    ('entry', 'waiting', 'standby admitted booked unavailable left lapsed'),
    ('entry', 'standby', 'waiting admitted booked unavailable left lapsed'),
    ('entry', 'admitted', 'booked left lapsed'),
    ('seat', 'free', 'held sold blocked'),
    ('seat', 'held', 'free sold'),
    ('seat', 'sold', 'free'),
    ('seat', 'blocked', 'free'),
    ('booking', 'held', 'authorising expired cancelled'),
    ('booking', 'authorising', 'held secured expiring review failed'),
    ('booking', 'review', 'secured expiring failed'),
    ('booking', 'expiring', 'expired secured cancelled'),
    ('booking', 'secured', 'confirmed failed'),
    ('booking', 'confirmed', 'cancelled frozen'),
    ('booking', 'frozen', 'confirmed cancelled'),
    ('payment', 'intended', 'requires_action authorised captured failed unknown voided'),
    ('payment', 'unknown', 'intended requires_action authorised captured failed voided'),
    ('payment', 'requires_action', 'authorised captured failed unknown voided'),
    ('payment', 'authorised', 'captured voided failed unknown'),
    ('refund', 'pending', 'succeeded failed'),
    ('refund', 'succeeded', 'failed')
) as moves (noun, old_state, targets);

/* Append-only: only triggers may write it. Monthly partitions are made ahead by ensure_partitions. */
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
