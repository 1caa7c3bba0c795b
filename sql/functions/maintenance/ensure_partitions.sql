/* Makes the monthly partitions of state_log and of the feed for this month and the next ones. The clock and
   every migration run call it; an advisory lock lets only one call at a time make partitions. */
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
        made := made + make_partition('state_log', month)::integer
            + make_partition('feed_messages', month)::integer;
    end loop;
    perform guard_log();
    return made;
end $$;
