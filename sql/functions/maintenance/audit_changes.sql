/* Writes additions and changes of rows to the audit log, for every program: old and new value of each field, and
   who acts in the transaction. Arguments: the action; the column with the event, or ''; columns whose changes
   are written, and columns that say which row it is, each after a '='. */
create or replace function audit_changes() returns trigger language plpgsql as $$
declare
    before constant jsonb := coalesce(to_jsonb(old), '{}');
    present constant jsonb := to_jsonb(new);
    changes jsonb;
begin
    select jsonb_object_agg(n.key, jsonb_build_object('from', before -> n.key, 'to', n.value))
    into changes
    from jsonb_each(present) n
    where n.key = any (tg_argv[2:]) and n.value is distinct from coalesce(before -> n.key, 'null');
    if changes is not null then
        select changes || coalesce(jsonb_object_agg(n.key, n.value), '{}') into changes
        from jsonb_each(present) n where '=' || n.key = any (tg_argv[2:]);
        perform audit(tg_argv[0], (present ->> tg_argv[1])::bigint, changes,
            (present ->> case tg_table_name when 'organisations' then 'id' else 'organisation_id' end)::bigint);
    end if;
    return null;
end $$;
