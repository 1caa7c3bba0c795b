/* Refuses changes to the audit log and its chain. Rows may be deleted where nothing is lost by it: acts that
   an act says are purged, what waited to be chained and is, personal values and keys of erased accounts. */
create or replace function refuse_audit_changes() returns trigger language plpgsql as $$
declare
    may boolean := false;
begin
    if tg_op = 'DELETE' then
        case tg_table_name
            when 'audit_log' then may := is_purged_act(old.id);
            when 'audit_chain' then may := old.number <= (select through from purged_acts(old.organisation_id));
            when 'audit_unchained' then may := exists (select from audit_chain where act_id = old.act_id);
            when 'audit_personal' then may := is_erased(old.account_id) or is_purged_act(old.act_id);
            when 'account_keys' then may := is_erased(old.account_id);
        end case;
        if may then
            return old;
        end if;
    end if;
    raise exception 'the audit log is append-only' using hint = format('%s of %s', tg_op, tg_table_name);
end $$;

/* Whether an act has left its chain, which only a purge makes it do. */
create or replace function is_purged_act(p_act bigint) returns boolean language sql stable as $$
    select not exists (select from audit_chain where act_id = p_act)
        and not exists (select from audit_unchained where act_id = p_act)
$$;
