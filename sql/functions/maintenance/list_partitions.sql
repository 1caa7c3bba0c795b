/* Lists partitions of a table, the oldest first: the month of each, and whether it is attached, is being
   detached, or is detached because a process died before it dropped it. */
create or replace function list_partitions(
    p_table text, out name text, out month date, out state text)
returns setof record language sql stable as $$
    select c.relname::text, to_date(right(c.relname, 6), 'YYYYMM'),
        case when i.inhrelid is null then 'detached'
            when i.inhdetachpending then 'detaching' else 'attached' end
    from pg_class t
    join pg_class c on c.relnamespace = t.relnamespace and c.relkind = 'r'
        and c.relname ~ ('^' || p_table || '_[0-9]{6}$')
    left join pg_inherits i on i.inhrelid = c.oid
    where t.oid = p_table::regclass
    order by 2
$$;
