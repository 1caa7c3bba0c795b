/* Calls to the gateway, payments, refunds, disputes, receipts and reconciliation. */


/* ---- The gateway ----------------------------------------------------------------------------- */

/* Times in which the gateway could not be used. A hold's deadline is credited the overlap when it is read. */
create table outages (
    gateway_account_id bigint not null references gateway_accounts,
    opened_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz check (closed_at >= opened_at),
    primary key (gateway_account_id, opened_at)
);
create unique index outages_one_open on outages (gateway_account_id) where closed_at is null;

/* The slots of each endpoint of the gateway are taken up to next_at. All workers together call it at the
   account's rate. */
create table gateway_slots (
    gateway_account_id bigint not null references gateway_accounts,
    endpoint text not null,
    next_at timestamptz not null,
    primary key (gateway_account_id, endpoint)
) with (fillfactor = 10);

/* The state of a gateway account that all workers share. Its circuit: 'open' while the gateway does not
   answer (no worker calls it until retry_at); 'half-open' while one call, the probe with number probes, may
   be made (until retry_at, because its worker may die); else 'closed'. Its bucket, for calls to all
   endpoints together: slots are taken up to next_at, and those of preferred calls up to booked_until. */
create table gateway_circuits (
    gateway_account_id bigint primary key references gateway_accounts,
    state text not null default 'closed' check (state in ('closed', 'open', 'half-open')),
    failures integer not null default 0 check (failures >= 0),
    probes integer not null default 0 check (probes >= 0),
    retry_at timestamptz check ((retry_at is null) = (state = 'closed')),
    next_at timestamptz not null default clock_timestamp(),
    booked_until timestamptz not null default clock_timestamp()
) with (fillfactor = 10);

/* Stripe's notifications, each once: the key is Stripe's event id. */
create table notification_inbox (
    id text primary key,
    type text not null,
    payment_id uuid,
    payload jsonb not null,
    received_at timestamptz not null default clock_timestamp()
);
create index notification_inbox_age on notification_inbox (received_at);


/* ---- Payments -------------------------------------------------------------------------------- */

/* Attempts to pay. params: exactly what is sent to the gateway; idempotency_n: a part of the idempotency
   key, raised only when the outcome under the earlier key is known. 'processing': charged at once, which
   can take days.

   captured: can be more than amount, or in another currency (captured_currency), only if the payment is
   recorded as failed: then all of it is refunded. refunded: the sum of the refunds that have not failed
   (sql/triggers/refunds.sql). kept: the part of the captured money that an organiser decided not to refund
   for a booking that has ended.

   card_... and risk_...: the gateway's facts about the card and the risk. Of the card's data only the
   fingerprint is kept, which is the same for each use of a card number. address_hash: a keyed hash of the
   buyer's network address (web/support/client_address.py). capture_before: when the authorisation
   lapses. */
create table payments (
    id uuid primary key default uuid7(),
    event_id bigint not null,
    booking_id uuid not null,
    organisation_id bigint not null,
    gateway_account_id bigint not null references gateway_accounts,
    state text not null default 'intended' check (state in ('intended', 'requires_action', 'processing',
        'authorised', 'captured', 'failed', 'unknown', 'voided')),
    method text not null default 'card',
    amount bigint not null check (amount > 0),
    currency char(3) not null,
    params jsonb not null,
    idempotency_n smallint not null default 1,
    first_sent_at timestamptz,
    gateway_ref text,
    next_action jsonb,
    client_secret text,
    capture_before timestamptz,
    captured bigint not null default 0,
    captured_currency char(3),
    refunded bigint not null default 0,
    kept bigint not null default 0,
    failure_code text,
    failure_message text,
    address_hash bytea,
    card_fingerprint text,
    card_country text,
    card_checks jsonb,
    risk_level text,
    risk_score smallint,
    risk_message text,
    gateway_review boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    -- The gateway's id comes first: notifications and lists contain it, but not our gateway account.
    constraint payments_gateway_ref_once unique (gateway_ref, gateway_account_id),
    foreign key (event_id, booking_id) references bookings,
    constraint payments_captured check (captured >= 0
        and (captured <= amount and captured_currency is null or state = 'failed')),
    constraint payments_refunded check (refunded between 0 and captured),
    constraint payments_processing check (state <> 'processing' or gateway_ref is not null),
    constraint payments_check1 check (state <> 'captured' or captured > 0),
    constraint payments_check2 check (
        state not in ('requires_action', 'authorised', 'captured', 'voided') or gateway_ref is not null),
    constraint payments_check3 check (kept between 0 and captured)
);
create unique index payments_one_live on payments (event_id, booking_id)
    where state in ('intended', 'requires_action', 'processing', 'authorised', 'captured', 'unknown');
create index payments_booking on payments (event_id, booking_id, created_at);
create index payments_offline on payments (event_id, id) where method = 'offline';
create index payments_card on payments (organisation_id, card_fingerprint, created_at)
    where card_fingerprint is not null;
create index payments_address on payments (organisation_id, address_hash, created_at)
    where address_hash is not null;
/* Finds payments without a final state among the many that have one. */
create index payments_open on payments (id)
    where state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown');

/* A booking and its payment refer to each other. */
alter table bookings add foreign key (payment_id) references payments deferrable initially deferred;

/* Refunds: pending, then succeeded or failed; one that has succeeded can still fail.

   cause: why it was made; 'dashboard': it was made in the gateway's dashboard. requested_by: who acted in
   that transaction. params: exactly what is sent to the gateway. A refund that failed is owed until it is
   tried again (retried_by), or was paid otherwise (settled_at, settlement: how). */
create table refunds (
    id uuid primary key default uuid7(),
    payment_id uuid not null references payments,
    event_id bigint not null,
    booking_id uuid not null,
    amount bigint not null check (amount > 0),
    currency char(3) not null,
    state text not null default 'pending' check (state in ('pending', 'succeeded', 'failed')),
    reason text not null,
    cause text not null default 'asked'
        check (cause in ('asked', 'event_cancelled', 'odd_money', 'dashboard')),
    requested_by text not null default '',
    params jsonb not null default '{}',
    idempotency_n smallint not null default 1,
    first_sent_at timestamptz,
    gateway_ref text unique,
    failure_code text,
    failure_message text,
    retried_by uuid references refunds,
    settled_at timestamptz,
    settlement text check (length(settlement) between 1 and 500),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    foreign key (event_id, booking_id) references bookings,
    check (retried_by is null or state = 'failed'),
    check (settled_at is null or state = 'failed' and retried_by is null),
    check ((settled_at is null) = (settlement is null))
);
create index refunds_booking on refunds (event_id, booking_id);
create index refunds_payment on refunds (payment_id);
create index refunds_event on refunds (event_id, id);
create index refunds_owed on refunds (event_id)
    where state = 'failed' and retried_by is null and settled_at is null;

/* The seats of a refund; a refund of an amount alone has none. amount: the part of the refund for the seat;
   the rest is for the booking's fee. */
create table refund_items (
    event_id bigint not null,
    refund_id uuid not null references refunds,
    booking_id uuid not null,
    seat integer not null,
    amount bigint not null default 0 check (amount >= 0),
    primary key (event_id, booking_id, seat),
    foreign key (event_id, booking_id, seat) references booking_items
);
create index refund_items_refund on refund_items (refund_id);

/* What organisers and the saga say about offline payments. The primary key decides between the organiser,
   who marks a payment as paid, and the saga, which gives it up: the first of them inserts the row. If both
   are set, it was paid too late and is refunded. reference: of the bank or the box office, for one payment
   alone. */
create table offline_payments (
    payment_id uuid primary key references payments,
    gateway_account_id bigint not null references gateway_accounts,
    cancelled_at timestamptz,
    reference text check (length(reference) between 1 and 200),
    amount bigint check (amount > 0),
    currency char(3),
    received_at timestamptz,
    recorded_by text,
    unique (gateway_account_id, reference),
    check (num_nulls(reference, amount, currency, received_at, recorded_by) in (0, 5)),
    check (cancelled_at is not null or reference is not null)
);

/* Refunds of offline payments that the organiser marked as paid. */
create table offline_refunds (
    refund_id uuid primary key references refunds,
    how text not null check (length(how) between 1 and 500),
    paid_at timestamptz not null default clock_timestamp(),
    recorded_by text not null
);

/* Event cancellations and their progress (tasks/event_cancellations.py). */
create table event_cancellations (
    event_id bigint primary key references events,
    reason text not null check (length(reason) between 1 and 500),
    with_fees boolean not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);


/* ---- Doubts ---------------------------------------------------------------------------------- */

/* state is the gateway's word: needs_response and under_review (the buyer's bank has the money until it
   is decided), won, lost, and warning_... (an inquiry; the money is still here). */
create table disputes (
    gateway_ref text primary key,
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
create index disputes_event on disputes (event_id, created_at);
create index disputes_booking on disputes (event_id, booking_id);
create index disputes_payment on disputes (payment_id);

/* Fraud warnings: the card's issuer suspects fraud before a dispute. The booking is frozen until the
   organiser dismisses the warning (dismissed_at) or refunds the money. actionable false: the gateway says
   that nothing can be done any more, and the booking is not frozen. */
create table fraud_warnings (
    gateway_ref text primary key,
    payment_id uuid not null references payments,
    event_id bigint not null,
    booking_id uuid not null,
    kind text not null,
    actionable boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    dismissed_at timestamptz,
    foreign key (event_id, booking_id) references bookings
);
create index fraud_warnings_event on fraud_warnings (event_id, created_at);
create index fraud_warnings_open on fraud_warnings (payment_id) where actionable and dismissed_at is null;

/* Rules that an organisation has changed; review_rules_of lists all rules. A payment is reviewed if a rule
   counts more than `most`. */
create table review_rules (
    organisation_id bigint not null references organisations,
    rule text not null check (rule in ('buyer_attempts', 'buyer_seats', 'card_buyers', 'card_bookings',
        'address_buyers', 'gateway_review', 'risk_level')),
    window_seconds integer not null check (window_seconds between 60 and 2592000),
    most smallint not null check (most between 0 and 100),
    action text not null check (action in ('review', 'none')),
    primary key (organisation_id, rule)
);


/* ---- Receipts -------------------------------------------------------------------------------- */

/* Documents to be numbered, in the order in which they became due. A row is inserted in the transaction of
   the change (sql/triggers/bookings.sql and refunds.sql), and deleted in that of the number. So a
   transaction that confirms a booking never waits for an organisation's next number. */
create table receipts_due (
    id bigint generated always as identity primary key,
    organisation_id bigint not null,
    event_id bigint not null,
    booking_id uuid not null,
    refund_id uuid,
    occasion text not null
        check (occasion in ('confirmed', 'refunded', 'refund_failed', 'refund_settled')),
    created_at timestamptz not null default clock_timestamp(),
    check ((occasion = 'confirmed') = (refund_id is null))
) with (fillfactor = 80);
create index receipts_due_organisation on receipts_due (organisation_id, id);
create index receipts_due_booking on receipts_due (booking_id);

/* Receipts, credit notes of refunds, and reversals of credit notes whose refund failed after all. total is
   negative on a credit note, so that a booking's documents sum up to the money that the organisation has.
   breakdown: the amounts when it was issued, which never change; it has no names of buyers.

   Numbers run from 1 without a gap in each organisation: previous is a foreign key to the number before.
   There is no foreign key to bookings: its locks, in the order of numbers, could deadlock with other
   transactions, which lock in the order of ids. There is none to refunds: receipts are kept when bookings
   and refunds are archived. */
create table receipts (
    organisation_id bigint not null references organisations,
    number bigint not null check (number > 0),
    previous bigint generated always as (nullif(number - 1, 0)) stored,
    occasion text not null
        check (occasion in ('confirmed', 'refunded', 'refund_failed', 'refund_settled')),
    kind text not null generated always as (case occasion
        when 'confirmed' then 'receipt' when 'refund_failed' then 'reversal'
        else 'credit_note' end) stored,
    event_id bigint not null,
    booking_id uuid not null,
    refund_id uuid,
    corrects bigint,
    currency char(3) not null,
    total bigint not null,
    breakdown jsonb not null,
    issued_at timestamptz not null default clock_timestamp(),
    primary key (organisation_id, number),
    foreign key (organisation_id, previous) references receipts (organisation_id, number)
        deferrable initially deferred,
    foreign key (organisation_id, corrects) references receipts (organisation_id, number),
    check (corrects < number),
    check ((occasion = 'confirmed') = (refund_id is null)),
    check ((occasion = 'confirmed') = (corrects is null)),
    check (case when occasion in ('refunded', 'refund_settled') then total < 0 else total > 0 end)
);
create unique index receipts_one_per_booking on receipts (event_id, booking_id)
    where refund_id is null;
create unique index receipts_one_per_occasion on receipts (refund_id, occasion)
    where refund_id is not null;
create index receipts_booking on receipts (event_id, booking_id, number);
create index receipts_event on receipts (organisation_id, event_id, number);


/* ---- Reconciliation -------------------------------------------------------------------------- */

/* Runs that compare the gateway's lists with the tables, both ways (tasks/reconciliation.py).

   A run covers all gateway_accounts that share one account at the gateway; gateway_account_id is the first
   of them. phase and cursor: its progress. foreign_objects: objects of other programs that use the same
   account. differences: those that it found, new or known; of them repairs: repairs that were started;
   dead_letters: those that a person has to settle. */
create table reconciliations (
    id bigint generated always as identity primary key,
    gateway_account_id bigint not null references gateway_accounts,
    cause text not null check (cause in ('recent', 'daily', 'asked')),
    requested_by text not null,
    window_from timestamptz not null,
    window_to timestamptz not null,
    state text not null default 'running' check (state in ('running', 'finished', 'abandoned')),
    phase text not null default 'payments' check (phase in
        ('payments', 'refunds', 'disputes', 'our payments', 'our refunds', 'our disputes')),
    cursor text,
    checked integer not null default 0,
    foreign_objects integer not null default 0,
    differences integer not null default 0,
    repairs integer not null default 0,
    dead_letters integer not null default 0,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    check (window_from < window_to),
    check ((state = 'running') = (finished_at is null))
);
create unique index reconciliations_one_of_the_clock on reconciliations (gateway_account_id, cause)
    where state = 'running' and cause <> 'asked';

/* Ids that a run has seen at the gateway, until it has compared the tables with them. */
create table reconciliation_seen (
    reconciliation_id bigint not null references reconciliations,
    gateway_ref text not null,
    primary key (reconciliation_id, gateway_ref)
);

/* The captured and refunded money of both sides, in minor units, at the time of the comparison. */
create table reconciliation_totals (
    reconciliation_id bigint not null references reconciliations,
    currency char(3) not null,
    captured_here bigint not null default 0,
    captured_there bigint not null default 0,
    refunded_here bigint not null default 0,
    refunded_there bigint not null default 0,
    primary key (reconciliation_id, currency)
);

/* Differences: one row for as long as a difference lasts, for all runs that see it. subject: Usher's id, or
   the gateway's if there is none. made_at: when the object was made. here, there: the object on both sides.
   repairs: how often its repair was started; if it did not help twice, the difference becomes a dead letter
   (dead_letter_id, which refers to a table of the next chapter). */
create table reconciliation_differences (
    id bigint generated always as identity primary key,
    gateway_account_id bigint not null references gateway_accounts,
    kind text not null,
    subject text not null,
    made_at timestamptz not null,
    event_id bigint,
    booking_id uuid,
    payment_id uuid,
    here jsonb,
    there jsonb,
    repair text,
    repairs smallint not null default 0,
    dead_letter_id bigint,
    found_by bigint not null references reconciliations,
    found_at timestamptz not null default clock_timestamp(),
    seen_by bigint not null references reconciliations,
    seen_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz
);
create unique index reconciliation_differences_open on reconciliation_differences (kind, subject)
    where resolved_at is null;
create index reconciliation_differences_found on reconciliation_differences (found_by);
create index reconciliation_differences_seen on reconciliation_differences (seen_by);

/* A difference as a comparison returns it. in_flight: a task works on the object, or it is too young.
   repair: the task that may repair it, with its key and arguments; null: only a person can. */
create type difference as (
    kind text, subject text, made_at timestamptz, in_flight boolean,
    event_id bigint, booking_id uuid, payment_id uuid,
    here jsonb, there jsonb, repair text, key text, args jsonb);
