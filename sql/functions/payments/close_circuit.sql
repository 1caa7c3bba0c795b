/* Moves a circuit from half-open to closed: the gateway can be used again. p_probe: see open_circuit. */
create or replace function close_circuit(p_account bigint, p_probe integer)
returns boolean language plpgsql as $$
begin
    update gateway_circuits set state = 'closed', failures = 0, probes = 0, retry_at = null
    where gateway_account_id = p_account and state = 'half-open' and probes = p_probe;
    if not found then
        return false;
    end if;
    update outages set closed_at = clock_timestamp()
    where gateway_account_id in (select same_gateway_accounts(p_account)) and closed_at is null;
    return true;
end $$;
