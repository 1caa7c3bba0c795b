/* Opens a circuit that is closed or half-open. It stays open for a random time below p_open_seconds (full
   jitter); the bound doubles with each failed probe, up to p_longest.

   All workers share the circuit of an account. The transactions that open and close it (see close_circuit)
   also record the outage, for each organisation that sells through this account. p_probe: the number of the probe that failed; null: a call that began while the
   circuit was closed. If the circuit has changed since, nothing is changed. */
create or replace function open_circuit(
    p_account bigint, p_probe integer, p_open_seconds double precision, p_longest double precision)
returns boolean language plpgsql as $$
begin
    perform lock_circuit(p_account);
    update gateway_circuits
    set state = 'open', failures = 0, retry_at = clock_timestamp()
        + random() * make_interval(secs => least(p_longest, p_open_seconds * 2 ^ least(probes, 16)))
    where gateway_account_id = p_account
        and (p_probe is null and state = 'closed' or state = 'half-open' and probes = p_probe);
    if not found then
        return false;
    end if;
    insert into outages (gateway_account_id, opened_at)
    select id, clock_timestamp() from same_gateway_accounts(p_account) id
    on conflict (gateway_account_id) where closed_at is null do nothing;
    return true;
end $$;
