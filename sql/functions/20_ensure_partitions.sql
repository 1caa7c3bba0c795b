/* Makes the partition of a month, unless it is there. It is made apart and then attached, which takes
   no lock that readers or writers would wait for. The time zone is that of the bounds. */
create or replace function make_partition(p_table text, p_month date) returns boolean
language plpgsql set timezone = 'UTC' as $$
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

/* Makes the monthly partitions of state_log for this month and the next ones; the clock and every
   migration run call it. Two at once are safe: creation is serialised by an advisory lock. */
create or replace function ensure_partitions(p_months integer default 3) returns integer
language plpgsql set timezone = 'UTC' as $$
declare
    made integer := 0;
    month date;
begin
    perform pg_advisory_xact_lock(hashtext('usher.ensure_partitions'));
    for month in
        select generate_series(date_trunc('month', now()),
            date_trunc('month', now()) + make_interval(months => p_months), interval '1 month')::date
    loop
        made := made + make_partition('state_log', month)::integer;
    end loop;
    perform guard_log();
    return made;
end $$;

/* A trigger for TRUNCATE is not handed down to partitions. */
create or replace function guard_log() returns void language plpgsql as $$
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

select ensure_partitions();
