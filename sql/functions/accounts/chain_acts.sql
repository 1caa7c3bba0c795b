/* Adds acts that are not in a chain yet to those of their organisations; returns how many, at most p_limit.

   Which acts are left is a table of rows, one written with each act and deleted when it is chained. So a
   transaction that commits late is chained late, after acts with higher ids, and none is ever passed by; an
   old transaction that stays open holds nothing up. The order of the chain is that of its numbers. */
create or replace function chain_acts(p_limit integer) returns integer language plpgsql as $$
declare
    act audit_log;
    head audit_chain;
    chained integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('audit_chain', 0)) then
        return 0;  -- another does it
    end if;
    for act in
        select a.* from audit_unchained u join audit_log a on a.id = u.act_id order by u.act_id limit p_limit
    loop
        select * into head from audit_chain
        where organisation_id = coalesce(act.organisation_id, 0) order by number desc limit 1;
        insert into audit_chain (organisation_id, number, act_id, hash)
        values (coalesce(act.organisation_id, 0), coalesce(head.number, 0) + 1, act.id,
            link_act(head.hash, coalesce(head.number, 0) + 1, act));
        delete from audit_unchained where act_id = act.id;
        chained := chained + 1;
    end loop;
    return chained;
end $$;
