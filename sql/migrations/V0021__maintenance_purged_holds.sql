/* Holds that ended without an attempt to pay, which are purged long before their event is archived. So many
   bookings of an event, and seats in them, were purged, by the state and the reason with which they ended. */
create table purged_holds (
    event_id bigint not null references events,
    state text not null check (state in ('expired', 'cancelled')),
    reason text not null,
    bookings bigint not null check (bookings > 0),
    seats bigint not null check (seats >= bookings),
    primary key (event_id, state, reason)
);

/* Those that may be purged, the oldest first; some that were declined are among them. */
create index bookings_unpaid_ended on bookings (ended_at)
    where ended_at is not null and payment_id is null and confirmed_at is null;

/* The mails of a booking are found by it, when it is archived. */
drop index emails_one_per_postponement;
create unique index emails_one_per_postponement on emails (event_id, booking_id, postponement)
    where postponement is not null;
