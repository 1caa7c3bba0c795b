/* Bookings with their seats and tickets. */

/* fee: the booking's own, part of total. A booking of free tickets has none.
   review_reasons, review_until: of a review: why, and until when.
   payment_id refers to payments, which come after bookings (V0005__payments.sql). */
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
    fee bigint not null default 0 check (fee >= 0),
    fee_tax_rate numeric(6, 5) not null default 0,
    fee_tax bigint not null default 0,
    deadline timestamptz not null,
    payment_id uuid,
    review_reasons jsonb,
    review_until timestamptz,
    terms_accepted_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz,
    ended_at timestamptz,
    reason text,
    primary key (event_id, id),
    unique (event_id, code),
    constraint bookings_one_per_entry unique (event_id, entry_id),
    check (state not in ('authorising', 'expiring', 'review', 'secured') or payment_id is not null),
    check (state not in ('confirmed', 'frozen') or confirmed_at is not null),
    check (state not in ('confirmed', 'frozen') or total = 0 or payment_id is not null),
    check ((state in ('expired', 'cancelled', 'failed')) = (ended_at is not null)),
    check (fee_tax between 0 and fee),
    check (state <> 'review' or review_reasons is not null and review_until is not null),
    constraint bookings_fee_of_something check (fee = 0 or fee < total)
) with (fillfactor = 80);
create index bookings_buyer on bookings (buyer_id, created_at desc);
create index bookings_open on bookings (event_id, deadline)
    where state in ('held', 'authorising', 'expiring', 'review', 'secured');
create index bookings_review on bookings (event_id, review_until, id) where state = 'review';
create index bookings_review_until on bookings (review_until) where state = 'review';

/* A seat whose ticket was returned (returned_at) no longer belongs to the booking. */
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
    returned_at timestamptz,
    primary key (event_id, booking_id, seat),
    constraint booking_items_tax_within check (tax <= price + fee)
);

/* A seat has at most one owner: it is one row, and booking_id is one column. A trigger checks once per
   statement that the bookings of seats and items exist (check_bookings_exist): foreign keys, which are
   checked row by row, took almost half of a reservation's time. */
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

/* Seats by buyer and event, for the cap. A counter with a constraint, so that no race can exceed it. */
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
