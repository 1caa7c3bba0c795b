/* Adds a trigger against TRUNCATE to each partition: partitions do not inherit it. */
create or replace function guard_log() returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    log_table regclass;
begin
    for log_table in
        select relid from pg_partition_tree('state_log') t
        where not exists (select from pg_trigger g
                          where g.tgrelid = t.relid and g.tgname = 'state_log_not_truncated')
    loop
        execute format('create trigger state_log_not_truncated before truncate on %s
            for each statement execute function refuse_log_writes()', log_table);
    end loop;
end $$;
