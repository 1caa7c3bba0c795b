/* A turn at an endpoint of the gateway, which is booked, and what the account's circuit says of it. Two
   buckets have to have room: the account's and the endpoint's. Each fills at so many a second and holds
   what comes in p_burst seconds; one that is empty is booked ahead. How far depends on who asks: the
   account's up to p_book seconds, where a negative number leaves so much in it for others; the endpoint's
   up to p_wait seconds. Who has to leave something also lets those wait less than half a second
   who need not.
   state: 'open' (no turn; to be asked again in `seconds`), 'half-open' (the one call that finds out whether
   the gateway is back; no other has a turn for p_probe seconds) or 'closed'. seconds: until the turn;
   null: too far away, none was booked.
   A turn that a crash of the server forgets was given for nothing: its commit need not be waited for, so
   that the next call at the same row does not wait for it either. */
create or replace function take_turn(
    p_account bigint, p_endpoint text, p_per_second double precision,
    p_account_per_second double precision, p_burst double precision, p_book double precision,
    p_wait double precision, p_probe double precision,
    out state text, out seconds double precision, out failures integer, out probe integer)
language plpgsql as $$
declare
    c gateway_circuits := lock_circuit(p_account);
    moment constant timestamptz := clock_timestamp();
    endpoint_at timestamptz;
    account_wait double precision;  -- negative: so many seconds' worth is left in the bucket
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
    select next_at into endpoint_at from gateway_turns
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
        state = take_turn.state, probes = take_turn.probe,
        retry_at = case take_turn.state when 'half-open' then moment + make_interval(secs => p_probe) end
    where gateway_account_id = p_account;
    insert into gateway_turns as t (gateway_account_id, endpoint, next_at)
    values (p_account, p_endpoint, moment + make_interval(secs => 1 / p_per_second))
    on conflict (gateway_account_id, endpoint) do update
        set next_at = greatest(t.next_at, moment) + make_interval(secs => 1 / p_per_second);
end $$;

/* Seconds until a bucket that is booked up to p_next_at has room for one more. */
create or replace function bucket_wait(
    p_next_at timestamptz, p_moment timestamptz, p_per_second double precision, p_burst double precision)
returns double precision language sql immutable as $$
    select extract(epoch from greatest(p_next_at, p_moment) - p_moment)::double precision
        - greatest(0, p_burst - 1 / p_per_second)
$$;
