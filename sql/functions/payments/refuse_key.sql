/* Opens the circuit of an account whose key the gateway does not accept any more, and says why: its lanes
   pause and holds are credited the time, as in an outage. A probe that succeeds ends it. */
create or replace function refuse_key(
    p_account bigint, p_open_seconds double precision, p_longest double precision)
returns boolean language plpgsql as $$
declare
    opened boolean;
begin
    opened := open_circuit(p_account, null, p_open_seconds, p_longest);
    update outages set reason = 'key_refused'
    where gateway_account_id in (select same_gateway_accounts(p_account))
        and closed_at is null and reason <> 'key_refused';
    return opened;
end $$;
