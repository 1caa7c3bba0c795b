/* Comparing the gateway's list with the tables, both ways (tasks/reconciliation.py).

   A run goes over all gateway_accounts that share one account at the gateway; gateway_account_id is the
   first of them. phase and cursor: how far it has come. foreign_objects: those of others who use the same
   account. differences: those that it found, new or known; of them repairs: sent on their way;
   dead_letters: handed to a person. */
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

/* What a run has seen at the gateway, until it has looked for ours that it has not seen. */
create table reconciliation_seen (
    reconciliation_id bigint not null references reconciliations,
    gateway_id text not null,
    primary key (reconciliation_id, gateway_id)
);

/* What was captured and refunded, in minor units, as both sides have it when they are compared. */
create table reconciliation_totals (
    reconciliation_id bigint not null references reconciliations,
    currency char(3) not null,
    captured_here bigint not null default 0,
    captured_there bigint not null default 0,
    refunded_here bigint not null default 0,
    refunded_there bigint not null default 0,
    primary key (reconciliation_id, currency)
);

/* One row as long as it lasts, however many runs see it. subject: our id, or the gateway's where we have
   none. made_at: when the object was made. here, there: what it is on both sides. repairs: how often its
   repair was sent on its way; one that does not help twice becomes a dead letter. */
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
    dead_letter_id bigint references dead_letters,
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

/* What a comparison gives. in_flight: somebody works on it, or it is too young to tell. repair: the task
   that may mend it, with its key and arguments; null: nothing but a person can. */
create type difference as (
    kind text, subject text, made_at timestamptz, in_flight boolean,
    event_id bigint, booking_id uuid, payment_id uuid,
    here jsonb, there jsonb, repair text, key text, args jsonb);

/* A refund that somebody made in the gateway's dashboard. */
alter table refunds drop constraint refunds_cause_check;
alter table refunds add constraint refunds_cause_check
    check (cause in ('asked', 'event_cancelled', 'odd_money', 'dashboard'));

/* The gateway's id first: a notification or a list knows it, and not whose account it is among many. */
alter table payments drop constraint payments_gateway_account_id_gateway_id_key;
alter table payments add constraint payments_gateway_id_once unique (gateway_id, gateway_account_id);
