/* Imports of large plans: a request stores the file, a task reads it. plan_id: the plan whose next version
   it will be; null until it is done: it will be a new plan of the venue, called name (null: as in the
   file). strict, guess, unrelated: how it is read, as in the request.
   source: the file as it was uploaded; it is removed when the import ends. slot: an organisation has a
   bounded number of imports under way. progress: the share of the work that is done; an import whose worker
   died begins anew. failure: why nothing was stored: message, and errors with their paths, or the
   conflict_reason. */
create table plan_imports (
    id bigint generated always as identity primary key,
    organisation_id bigint not null references organisations,
    venue_id bigint not null references venues,
    plan_id bigint references plans,
    plan_version_id bigint references plan_versions,
    name text,
    strict boolean not null,
    guess boolean not null,
    unrelated boolean not null,
    source bytea,
    slot smallint not null check (slot between 1 and 3),
    state text not null default 'waiting' check (state in ('waiting', 'reading', 'done', 'failed')),
    progress real not null default 0 check (progress between 0 and 1),
    failure jsonb,
    requested_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    constraint plan_imports_source check (
        (source is not null) = (state in ('waiting', 'reading')) and octet_length(source) <= 67108864),
    constraint plan_imports_done check (
        (plan_version_id is not null) = (state = 'done') and (state <> 'done' or plan_id is not null)),
    constraint plan_imports_failed check ((failure is not null) = (state = 'failed')),
    constraint plan_imports_finished check ((finished_at is not null) = (state in ('done', 'failed')))
);
/* To compress 64 MiB would take seconds, for a row that lives for seconds. */
alter table plan_imports alter column source set storage external;
create unique index plan_imports_under_way on plan_imports (organisation_id, slot)
    where state in ('waiting', 'reading');
create index plan_imports_venue on plan_imports (venue_id, id);
create index plan_imports_ended on plan_imports (finished_at) where finished_at is not null;
