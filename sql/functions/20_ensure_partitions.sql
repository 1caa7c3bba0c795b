/* Makes the monthly partitions of this month and the next ones; the clock and every migration run
   call it. Two at once are safe: creation is serialised by an advisory lock. */
create or replace function ensure_partitions(p_months integer default 3) returns integer
language plpgsql as $$
declare
    made integer := 0;
    month date;
    partition_name text;
begin
    perform pg_advisory_xact_lock(hashtext('usher.ensure_partitions'));
    for month in
        select generate_series(date_trunc('month', now() at time zone 'utc'),
            date_trunc('month', now() at time zone 'utc') + make_interval(months => p_months),
            interval '1 month')::date
    loop
        partition_name := 'state_log_' || to_char(month, 'YYYYMM');
        continue when to_regclass(partition_name) is not null;
        execute format('create table %I partition of state_log for values from (%L) to (%L)',
            partition_name, month::timestamp at time zone 'utc',
            (month + interval '1 month')::timestamp at time zone 'utc');
        made := made + 1;
    end loop;
    return made;
end $$;

select ensure_partitions();
