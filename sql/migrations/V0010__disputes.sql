/* disputes.state is the gateway's word: needs_response and under_review (the buyer's bank has the money
   until it is decided), won, lost, and warning_... (an inquiry; the money is still here). */
create index disputes_event on disputes (event_id, created_at);
create index disputes_booking on disputes (event_id, booking_id);
create index disputes_payment on disputes (payment_id);

/* A card's issuer suspects fraud, and says so before anybody disputes the payment. */
create table fraud_warnings (
    gateway_id text primary key,
    payment_id uuid not null references payments,
    event_id bigint not null,
    booking_id uuid not null,
    kind text not null,
    actionable boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    foreign key (event_id, booking_id) references bookings
);
create index fraud_warnings_event on fraud_warnings (event_id, created_at);
