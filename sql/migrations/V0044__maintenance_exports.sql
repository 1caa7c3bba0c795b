/* Exports of personal data that a task writes part by part, for a person with much. next: where the next part
   begins. finished_at: when the last one was written; a week later all is deleted. */
create table personal_exports (
    account_id bigint primary key references accounts,
    requested_at timestamptz not null default clock_timestamp(),
    next text,
    finished_at timestamptz,
    check (finished_at is null or next is null)
);
create index personal_exports_finished on personal_exports (finished_at) where finished_at is not null;

create table personal_export_parts (
    account_id bigint not null references personal_exports on delete cascade,
    part integer not null check (part > 0),
    document jsonb not null,
    primary key (account_id, part)
);
