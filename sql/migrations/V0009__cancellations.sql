/* Events that were cancelled, and how far giving everything back has come (tasks/event_cancellations.py). */
create table event_cancellations (
    event_id bigint primary key references events,
    reason text not null check (length(reason) between 1 and 500),
    with_fees boolean not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
