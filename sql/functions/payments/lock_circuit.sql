/* Locks the circuit of a gateway account; the first call makes its row. */
create or replace function lock_circuit(p_account bigint) returns gateway_circuits language plpgsql as $$
declare
    c gateway_circuits;
begin
    select * into c from gateway_circuits where gateway_account_id = p_account for update;
    if not found then
        insert into gateway_circuits (gateway_account_id) values (p_account) on conflict do nothing;
        select * into c from gateway_circuits where gateway_account_id = p_account for update;
    end if;
    return c;
end $$;
