/* What bookings are found by. term: a hash of an organisation, a kind and a word (db/maintenance/booking_terms.py), so
   that names stand in buyers only. A job keeps it, seconds after the change: bookings and buyers have no index for
   it, and a term's bookings can be read in the order of their ids, however many have it. */
create table booking_terms (
    term bigint not null,
    booking_id uuid not null,
    event_id bigint not null,
    primary key (term, booking_id) include (event_id)
);
create index booking_terms_booking on booking_terms (booking_id);

/* Bookings whose terms are to be written anew, beside those of which the state log tells. */
create table bookings_to_index (
    booking_id uuid primary key,
    event_id bigint not null
);
insert into bookings_to_index (booking_id, event_id) select id, event_id from bookings;

/* The time up to which the terms follow the state log: one row, or none before it was followed. */
create table booking_index (
    is_one boolean primary key default true check (is_one),
    until timestamptz not null
);

create index booking_addresses_email on booking_addresses (lower(email));

/* card_last4: the last four digits of the card's number, for the buyer's organiser; null: not known. */
alter table payments add column card_last4 smallint check (card_last4 between 0 and 9999);

/* The name that the organiser gave for a booking, since the buyer's was wrong, as booking_addresses has addresses:
   it is deleted when its booking is archived. */
create table booking_names (
    event_id bigint not null,
    booking_id uuid not null,
    name text not null check (length(name) between 1 and 200),
    corrected_at timestamptz not null default clock_timestamp(),
    primary key (event_id, booking_id)
);

/* What an organisation's people write down about a booking, and words by which they find it again. */
create table booking_notes (
    id uuid primary key default uuid7(),
    event_id bigint not null,
    booking_id uuid not null,
    note text not null check (length(note) between 1 and 2000),
    written_by text not null,
    created_at timestamptz not null default clock_timestamp()
);
create index booking_notes_booking on booking_notes (event_id, booking_id, id);

create table booking_tags (
    event_id bigint not null,
    booking_id uuid not null,
    tags text[] not null check (cardinality(tags) <= 20),
    primary key (event_id, booking_id)
);
