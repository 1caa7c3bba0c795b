/* The moves of an account's circuit (this one and close_circuit) are shared by all workers. An outage is
   written down from its opening to its closing, in the same transactions. p_probe: the call that found
   out, null for one that began while the circuit was closed; one that finds the circuit moved on
   changes nothing.

   Closed or half-open to open, for anything up to p_rest seconds, doubled with each probe that failed and
   p_longest at most: full jitter. */
create or replace function open_circuit(
    p_account bigint, p_probe integer, p_rest double precision, p_longest double precision)
returns boolean language plpgsql as $$
begin
    perform lock_circuit(p_account);
    update gateway_circuits
    set state = 'open', failures = 0, retry_at = clock_timestamp()
        + random() * make_interval(secs => least(p_longest, p_rest * 2 ^ least(probes, 16)))
    where gateway_account_id = p_account
        and (p_probe is null and state = 'closed' or state = 'half-open' and probes = p_probe);
    if not found then
        return false;
    end if;
    insert into outages (gateway_account_id) values (p_account)
    on conflict (gateway_account_id) where closed_at is null do nothing;
    return true;
end $$;
