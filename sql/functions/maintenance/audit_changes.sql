/* Writes changes of a sale to the audit log, for every program: old and new value of each field, and who
   acts in the transaction. */
create or replace function audit_changes() returns trigger language plpgsql as $$
declare
    before constant jsonb := to_jsonb(old);
    changes jsonb;
begin
    select jsonb_object_agg(n.key, jsonb_build_object('from', before -> n.key, 'to', n.value))
    into changes
    from jsonb_each(to_jsonb(new)) n
    where n.key = any (tg_argv[1:]) and n.value is distinct from before -> n.key;
    if changes is not null then
        perform audit(tg_argv[0], (to_jsonb(new) ->> tg_argv[1])::bigint, changes);
    end if;
    return null;
end $$;
