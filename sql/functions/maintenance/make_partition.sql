/* Makes the partition of a month, unless it exists. It is made as a table and then attached, because that
   takes no lock that readers or writers would wait for. The time zone is that of the bounds. It runs
   with the rights of the schema's owner. */
create or replace function make_partition(p_table text, p_month date) returns boolean
language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
    partition_name constant text := p_table || to_char(p_month, '_YYYYMM');
begin
    if to_regclass(partition_name) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including all)', partition_name, p_table);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', p_table,
        partition_name, p_month, (p_month + interval '1 month')::date);
    return true;
end $$;
