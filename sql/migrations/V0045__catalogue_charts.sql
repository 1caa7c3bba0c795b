/* What pages draw at once (ops/docs/chart.md). A plan version never changes, so its chart is made once.
   document: compressed JSON. format: of the document; a later one is a row of its own. */
create table plan_charts (
    plan_version_id bigint not null references plan_versions,
    format smallint not null check (format > 0),
    document bytea not null,
    primary key (plan_version_id, format)
);
alter table plan_charts alter column document set storage external;

/* Which seats of an event were free, for readers who ask what has changed since. A row is written when a
   reader asks, at most once a second, and never by a sale.
   number: the cursor, made from the time, so that it never comes twice. free: bit n (of byte n / 8, the lowest
   first) is seat n of the plan version; 1: free. seen_at: when it was last found to be so. */
create table availability_snapshots (
    event_id bigint not null,
    number bigint not null,
    plan_version_id bigint not null,
    free bytea not null,
    seen_at timestamptz not null default clock_timestamp(),
    primary key (event_id, number)
) with (fillfactor = 80);
create index availability_snapshots_seen on availability_snapshots (seen_at);
alter table availability_snapshots alter column free set storage external;
