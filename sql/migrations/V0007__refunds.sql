/* Refunds. A refund is an object of its own: pending, then succeeded or failed, and a success can still
   fail. payments.refunded holds what is asked for and has not failed (sql/triggers/refunds.sql);
   the constraint of the first schema keeps it between 0 and what was captured.

   cause: who wants it; requested_by: the actor of that transaction. params is exactly what is sent to
   the gateway. A refund that failed is owed until it is tried anew (retried_by), or was paid otherwise
   (settled_at, settlement: how). */
alter table refunds
    add column cause text not null default 'asked'
        check (cause in ('asked', 'event_cancelled', 'odd_money')),
    add column requested_by text not null default '',
    add column params jsonb not null default '{}',
    add column failure_message text,
    add column retried_by uuid references refunds,
    add column settled_at timestamptz,
    add column settlement text check (length(settlement) between 1 and 500),
    add check (retried_by is null or state = 'failed'),
    add check (settled_at is null or state = 'failed' and retried_by is null),
    add check ((settled_at is null) = (settlement is null));
create index refunds_event on refunds (event_id, id);
create index refunds_owed on refunds (event_id)
    where state = 'failed' and retried_by is null and settled_at is null;

/* kept: of the captured, what an organiser decided not to give back for a booking that has ended. */
alter table payments add column kept bigint not null default 0 check (kept between 0 and captured);

/* A seat whose ticket was returned is not the booking's any more. */
alter table booking_items add column returned_at timestamptz;

/* The seats that a refund was for; none where it was for money alone. */
create table refund_items (
    event_id bigint not null,
    refund_id uuid not null references refunds,
    booking_id uuid not null,
    seat integer not null,
    primary key (event_id, booking_id, seat),
    foreign key (event_id, booking_id, seat) references booking_items
);
create index refund_items_refund on refund_items (refund_id);

/* Returned, but not to be sold again. */
insert into legal_moves (noun, old_state, new_state) values ('seat', 'sold', 'blocked');

/* A booking may have several refunds, and gets a mail for each. */
alter table emails
    drop constraint emails_event_id_booking_id_template_key,
    add column refund_id uuid references refunds;
create unique index emails_one_per_booking on emails (event_id, booking_id, template)
    where refund_id is null;
create unique index emails_one_per_refund on emails (refund_id, template)
    where refund_id is not null;
