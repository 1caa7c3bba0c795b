/* Venues, their plans, and the events that are sold there. */

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

/* Seat integers contain the order of the plan: two seats have consecutive integers if and only if they are
   neighbours, and a lower one is better (db/catalogue/seating.py). centre: offset from the row's middle. */
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

/* Currencies in which events can be sold. Amounts are integers of minor units, as the gateway counts them:
   10 ^ exponent of them are one. Only multiples of step can be charged. sql/data/currencies.sql fills the
   table. */
create table currencies (
    code char(3) primary key check (code ~ '^[A-Z]{3}$'),
    exponent smallint not null check (exponent between 0 and 3),
    step integer not null check (step > 0),
    minimum_charge bigint not null check (minimum_charge > 0 and minimum_charge % step = 0),
    maximum_charge bigint not null check (maximum_charge >= minimum_charge)
);

/* currency: a foreign key, which is cheap because only a draft is written, never by a sale. booking_fee:
   of a booking that is not free, beside the fees of its tickets; like them it contains its tax.

   lobby_opens_at, lobby_closes_at: of the lobby before the sale; null: there is none.

   gated: seats are only booked with a pass or from the queue; otherwise direct bookings are allowed too.
   claim_seconds: how long a pass is offered; grace_seconds: how long a buyer who did not take it may come
   back to the head of the queue; pass_seconds: how long a pass that was taken is good.

   payment_methods: in the gateway's words. A card is authorised first, and captured when the seats are
   secured; the other methods are charged at once, which can take days. Offline payments are made at the
   box office or by bank transfer, and marked as paid by the organiser. offline_seconds: the time to pay
   offline; null: offline payment is not allowed. offline_instructions: where to pay.

   archive_month: the month of the event's archive, set with its first piece; archived_at: when the whole
   event was archived. An event that is being archived is not on sale. */
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
    currency char(3) not null references currencies check (currency ~ '^[A-Z]{3}$'),
    booking_fee bigint not null default 0 check (booking_fee between 0 and 999999999999),
    booking_fee_tax_rate numeric(6, 5) not null default 0 check (booking_fee_tax_rate between 0 and 1),
    seats_per_buyer smallint not null default 8 check (seats_per_buyer between 1 and 50),
    hold_seconds integer not null default 600 check (hold_seconds between 5 and 86400),
    terms text not null default '',
    lobby_opens_at timestamptz,
    lobby_closes_at timestamptz,
    gated boolean not null default true,
    claim_seconds integer not null default 60 check (claim_seconds between 1 and 3600),
    grace_seconds integer not null default 300 check (grace_seconds between 0 and 86400),
    pass_seconds integer not null default 600 check (pass_seconds between 5 and 86400),
    payment_methods text[] not null default '{card}'
        check (payment_methods <@ array['card', 'sepa_debit', 'us_bank_account', 'ideal', 'bancontact',
            'eps', 'p24', 'twint', 'blik']),
    offline_account_id bigint references gateway_accounts,
    offline_instructions text not null default '' check (length(offline_instructions) <= 2000),
    offline_seconds integer check (offline_seconds between 60 and 7776000),
    archive_month date,
    archived_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    check (on_sale_at < off_sale_at),
    check ((offline_account_id is null) = (offline_seconds is null)),
    check (archived_at is null or archive_month is not null),
    constraint events_lobby check (
        num_nulls(lobby_opens_at, lobby_closes_at) = 2
        or num_nulls(lobby_opens_at, lobby_closes_at) = 0
            and lobby_opens_at < lobby_closes_at and lobby_closes_at <= on_sale_at),
    constraint events_can_be_paid
        check (cardinality(payment_methods) > 0 or offline_account_id is not null),
    constraint events_archived check (archive_month is null or state in ('closed', 'cancelled'))
);
create index events_organisation on events (organisation_id, id);
create index events_unarchived on events (greatest(starts_at, off_sale_at)) where archived_at is null;

/* The limits of prices depend on the currency (check_prices): in rupiahs twelve digits. */
create table event_categories (
    event_id bigint not null references events,
    category smallint not null check (category > 0),
    name text not null,
    price bigint not null check (price between 0 and 999999999999),
    fee bigint not null default 0 check (fee between 0 and 999999999999),
    tax_rate numeric(6, 5) not null default 0 check (tax_rate between 0 and 1),
    primary key (event_id, category)
);

/* Seats that are set apart for a purpose: a fan club, a sponsor, the box office. */
create table allocations (
    event_id bigint not null references events,
    allocation smallint not null check (allocation > 0),
    name text not null,
    channel text not null,
    primary key (event_id, allocation)
);
