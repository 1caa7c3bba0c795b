/* Takes a slot for one call to an endpoint of the gateway, if the account's circuit allows it. Two token
   buckets must have room: the account's and the endpoint's. Each fills at its rate and holds the slots of
   p_burst seconds. An empty bucket gives slots in the future: the account's up to p_book seconds ahead,
   the endpoint's up to p_wait seconds. A negative p_book leaves the slots of that many seconds to other
   calls, and also lets calls go first that took a slot of the last half second with a p_book of 0 or more.
   state: 'open' (no slot; ask again in `seconds`), 'half-open' (this call is the probe; no other call gets
   a slot for p_probe seconds) or 'closed'. seconds: until the slot; null: it would be too late, so none was
   taken.
   A slot that a crash of the server forgets does no harm. So the commit is asynchronous, and the next call
   at the same row need not wait for it. */
create or replace function take_slot(
    p_account bigint, p_endpoint text, p_per_second double precision,
    p_account_per_second double precision, p_burst double precision, p_book double precision,
    p_wait double precision, p_probe double precision,
    out state text, out seconds double precision, out failures integer, out probe integer)
language plpgsql as $$
declare
    c gateway_circuits := lock_circuit(p_account);
    moment constant timestamptz := clock_timestamp();
    endpoint_at timestamptz;
    account_wait double precision;  -- negative: slots of so many seconds are left in the bucket
    endpoint_wait double precision;
begin
    perform set_config('synchronous_commit', 'off', true);
    failures := c.failures;
    if c.retry_at > moment then
        state := 'open';
        seconds := case c.state when 'open' then extract(epoch from c.retry_at - moment) else 0 end;
        return;
    end if;
    state := case c.state when 'closed' then 'closed' else 'half-open' end;
    probe := c.probes + (state = 'half-open')::integer;
    select next_at into endpoint_at from gateway_slots
    where gateway_account_id = p_account and endpoint = p_endpoint;
    account_wait := bucket_wait(c.next_at, moment, p_account_per_second, p_burst);
    endpoint_wait := bucket_wait(coalesce(endpoint_at, moment), moment, p_per_second, p_burst);
    if account_wait > p_book or endpoint_wait > p_wait
            or p_book < 0 and c.booked_until > moment + interval '0.5 s' then
        return;
    end if;
    seconds := greatest(0, account_wait, endpoint_wait);
    update gateway_circuits t
    set next_at = greatest(t.next_at, moment) + make_interval(secs => 1 / p_account_per_second),
        booked_until = case when p_book < 0 then t.booked_until
            else greatest(t.booked_until, moment + make_interval(secs => seconds)) end,
        state = take_slot.state, probes = take_slot.probe,
        retry_at = case take_slot.state when 'half-open' then moment + make_interval(secs => p_probe) end
    where gateway_account_id = p_account;
    insert into gateway_slots as t (gateway_account_id, endpoint, next_at)
    values (p_account, p_endpoint, moment + make_interval(secs => 1 / p_per_second))
    on conflict (gateway_account_id, endpoint) do update
        set next_at = greatest(t.next_at, moment) + make_interval(secs => 1 / p_per_second);
end $$;

/* Returns the seconds until a bucket whose slots are taken up to p_next_at has room for one more. */
create or replace function bucket_wait(
    p_next_at timestamptz, p_moment timestamptz, p_per_second double precision, p_burst double precision)
returns double precision language sql immutable as $$
    select extract(epoch from greatest(p_next_at, p_moment) - p_moment)::double precision
        - greatest(0, p_burst - 1 / p_per_second)
$$;
