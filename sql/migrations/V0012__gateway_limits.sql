/* What all workers share about a gateway account. Its circuit: 'open' while the gateway does not answer
   (nobody calls it until retry_at), 'half-open' while one worker, the probes-th since it opened, may find
   out (until retry_at: it may die), else 'closed'. Its bucket, for calls to all endpoints together: calls
   are booked up to next_at, and those that come before others have their turns up to booked_until. */
create table gateway_circuits (
    gateway_account_id bigint primary key references gateway_accounts,
    state text not null default 'closed' check (state in ('closed', 'open', 'half-open')),
    failures integer not null default 0 check (failures >= 0),
    probes integer not null default 0 check (probes >= 0),
    retry_at timestamptz check ((retry_at is null) = (state = 'closed')),
    next_at timestamptz not null default clock_timestamp(),
    booked_until timestamptz not null default clock_timestamp()
) with (fillfactor = 10);
