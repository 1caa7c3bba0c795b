/* Durable tasks, dead letters, and the clock's jobs. */

/* Durable tasks. A row is deleted in the transaction of the task's effect. resend_at: when the relay sends
   the next message for it; only workers lease tasks. leased_by: the worker that has, or last had, the task.
   retry_of: the dead letter that was retried as this task (no foreign key: letters have their own
   retention). trace: the request that caused it, from the setting usher.trace of the transaction that
   inserted it. errors: the task's history, see add_attempt. */
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
    leased_by text,
    again boolean not null default false,
    errors jsonb not null default '[]',
    trace text default nullif(current_setting('usher.trace', true), ''),
    retry_of bigint,
    created_at timestamptz not null default clock_timestamp(),
    check ((lease_token is null) = (lease_until is null)),
    constraint outbox_priority check (priority in (20, 50, 80))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create unique index outbox_one_per_key on outbox (actor, key) where key is not null;
/* For the relay: the urgent tasks first, of them the oldest first. */
create index outbox_to_send on outbox (queue, priority, resend_at);

/* Dead letters. task_id 0: a fact without a task. retry_of: an earlier letter, whose retry failed as well;
   retried_as: the task that was made by a retry. resolved_by: null if the task was done after all. */
create table dead_letters (
    id bigint generated always as identity primary key,
    task_id bigint not null,
    actor text not null,
    queue text not null,
    key text,
    args jsonb not null,
    priority smallint not null default 50,
    event_id bigint,
    booking_id uuid,
    buyer_id bigint,
    reason text not null,
    claims integer not null,
    failures integer not null default 0,
    errors jsonb not null,
    trace text default nullif(current_setting('usher.trace', true), ''),
    retry_of bigint,
    created_at timestamptz not null,
    died_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text,
    resolved_by text,
    retried_as bigint,
    check ((resolved_at is null) = (resolution is null))
);
create unique index dead_letters_one_open on dead_letters (task_id)
    where resolved_at is null and task_id > 0;
/* A finding of the auditor is a dead letter without a task, one for each invariant and subject. */
create unique index dead_letters_one_per_finding on dead_letters (key)
    where actor = 'audit' and resolved_at is null;
create index dead_letters_open on dead_letters (died_at) where resolved_at is null;
create index dead_letters_resolved on dead_letters (resolved_at) where resolved_at is not null;
create index dead_letters_event on dead_letters (event_id, id) where event_id is not null;
create index dead_letters_buyer on dead_letters (buyer_id, id) where buyer_id is not null;
/* Finds the open dead letter of a booking each time its buyer reads it. */
create index dead_letters_booking on dead_letters (booking_id) where resolved_at is null;

alter table reconciliation_differences add foreign key (dead_letter_id) references dead_letters;

/* The clock's jobs. Several clocks may run: a tick is taken by a compare-and-set on next_at.
   catch_up: how many missed ticks are run later, each with its own time; 0: missed ticks are skipped,
   because the next tick finds the same work. A job that failed waits until retry_at, and its tick is not
   lost. failures: in a row. declared_at: when the job was added. */
create table jobs (
    name text primary key,
    every interval not null check (every > interval '0'),
    catch_up integer not null default 0 check (catch_up >= 0),
    declared_at timestamptz not null default clock_timestamp(),
    next_at timestamptz not null default clock_timestamp(),
    last_started_at timestamptz,
    last_finished_at timestamptz,
    last_result jsonb,
    retry_at timestamptz,
    failures integer not null default 0 check (failures >= 0),
    last_error text,
    last_failed_at timestamptz
);
