/* Dead letters as operators work with them, and what tasks need for it.

   outbox.leased_by: the worker that has, or last had, the task; retry_of: the dead letter of which the
   task is a second life (no foreign key: letters are purged in their own time). trace: the request that
   caused it, from the setting usher.trace of the transaction that wrote it. errors: the task's history,
   see add_attempt. */
alter table outbox
    add column leased_by text,
    add column retry_of bigint,
    alter column trace set default nullif(current_setting('usher.trace', true), ''),
    add constraint outbox_priority check (priority in (20, 50, 80));

/* The urgent first, the oldest of them first. */
drop index outbox_to_send;
create index outbox_to_send on outbox (queue, priority, resend_at);

/* retried_as: the task that an operator made of it; retry_of: the letter whose retry died as well.
   resolved_by: null when the task came to its end by itself. */
alter table dead_letters
    add column failures integer not null default 0,
    add column priority smallint not null default 50,
    add column retry_of bigint,
    add column retried_as bigint,
    add column resolved_by text,
    alter column trace set default nullif(current_setting('usher.trace', true), '');

/* 0: what became a dead letter was no task. */
create unique index dead_letters_one_open on dead_letters (task_id)
    where resolved_at is null and task_id > 0;
create index dead_letters_event on dead_letters (event_id, id) where event_id is not null;
create index dead_letters_buyer on dead_letters (buyer_id, id) where buyer_id is not null;

-- It returns the task's id now.
drop function if exists enqueue(text, text, text, jsonb, bigint, timestamptz, integer, text);

/* Payments in doubt, among the many that are well. */
create index payments_open on payments (id)
    where state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown');
