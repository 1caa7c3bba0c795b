/* Takes slots for calls to an endpoint of the gateway, if the account's circuit allows it: one row for each of
   p_count calls. Two token buckets must have room: the account's and the endpoint's. Each fills at its rate and
   holds the slots of p_burst seconds. An empty bucket gives slots in the future: the account's up to p_book
   seconds ahead, the endpoint's up to p_wait seconds. A negative p_book leaves the slots of that many seconds
   to other calls, and also lets calls go first that took a slot of the last half second with a p_book of 0 or
   more.
   state: 'open' (no slot; ask again in `seconds`), 'half-open' (this call is the probe; no other call gets
   a slot for p_probe seconds) or 'closed'. seconds: until the slot; null: it would be too late, so none was
   taken.
   A slot that a crash of the server forgets does no harm. So the commit is asynchronous, and the next call
   at the same row need not wait for it. */
create or replace function take_slots(
    p_account bigint, p_endpoint text, p_per_second double precision,
    p_account_per_second double precision, p_burst double precision, p_book double precision,
    p_wait double precision, p_probe double precision, p_count integer)
returns table (state text, seconds double precision, failures integer, probe integer)
language plpgsql as $$
#variable_conflict use_column
declare
    c constant gateway_circuits := lock_circuit(p_account);
    moment constant timestamptz := clock_timestamp();
    is_probe constant boolean := c.state <> 'closed';
    account_wait double precision;  -- negative: slots of so many seconds are left in the bucket
    endpoint_wait double precision;
    given integer;
    last_wait double precision;
begin
    perform set_config('synchronous_commit', 'off', true);
    if c.retry_at > moment then
        return query select 'open', case c.state
            when 'open' then extract(epoch from c.retry_at - moment)::double precision else 0 end,
            c.failures, c.probes from generate_series(1, p_count);
        return;
    end if;
    account_wait := bucket_wait(c.next_at, moment, p_account_per_second, p_burst);
    endpoint_wait := bucket_wait(coalesce((
        select next_at from gateway_slots
        where gateway_account_id = p_account and endpoint = p_endpoint), moment), moment, p_per_second, p_burst);
    given := case when p_book < 0 and c.booked_until > moment + interval '0.5 s' then 0
        else least(slots_within(p_book - account_wait, p_account_per_second),
            slots_within(p_wait - endpoint_wait, p_per_second),
            case when is_probe then 1 else p_count end) end;
    return query
    select case when is_probe and n > 1 then 'open' when is_probe then 'half-open' else 'closed' end,
        case when n <= given then greatest(0, account_wait + (n - 1) / p_account_per_second,
                endpoint_wait + (n - 1) / p_per_second)
            when is_probe and given = 1 then 0 end,
        c.failures, c.probes + is_probe::integer
    from generate_series(1, p_count) n;
    if given = 0 then
        return;
    end if;
    last_wait := greatest(0, account_wait + (given - 1) / p_account_per_second,
        endpoint_wait + (given - 1) / p_per_second);
    update gateway_circuits t
    set next_at = greatest(t.next_at, moment) + make_interval(secs => given / p_account_per_second),
        booked_until = case when p_book < 0 then t.booked_until
            else greatest(t.booked_until, moment + make_interval(secs => last_wait)) end,
        state = case when is_probe then 'half-open' else 'closed' end, probes = t.probes + is_probe::integer,
        retry_at = case when is_probe then moment + make_interval(secs => p_probe) end
    where t.gateway_account_id = p_account;
    insert into gateway_slots as t (gateway_account_id, endpoint, next_at)
    values (p_account, p_endpoint, moment + make_interval(secs => given / p_per_second))
    on conflict (gateway_account_id, endpoint) do update
        set next_at = greatest(t.next_at, moment) + make_interval(secs => given / p_per_second);
end $$;

/* Returns how many slots of a bucket are at most so many seconds ahead. */
create or replace function slots_within(p_seconds double precision, p_per_second double precision)
returns integer language sql immutable as $$
    select case when p_seconds < 0 then 0 else least(1000000, floor(p_seconds * p_per_second + 1e-6) + 1)::integer end
$$;

/* Returns the seconds until a bucket whose slots are taken up to p_next_at has room for one more. */
create or replace function bucket_wait(
    p_next_at timestamptz, p_moment timestamptz, p_per_second double precision, p_burst double precision)
returns double precision language sql immutable as $$
    select extract(epoch from greatest(p_next_at, p_moment) - p_moment)::double precision
        - greatest(0, p_burst - 1 / p_per_second)
$$;
