-- Tests only, as temporary functions of the connection that keeps a database between tests.

-- Tables whose rows come from migrations.
create function pg_temp.is_filled(p_table oid) returns boolean language sql as $$
    select p_table = any ('{audits,currencies,legal_moves,payment_methods,schema_version}'::regclass[])
$$;

-- Deletes all rows, and what events have of their own, and sets sequences to their beginning. Connections that
-- are doing something, or that no pool has, are closed: threads of a test may have been left.
create function pg_temp.empty() returns void language plpgsql as $$
declare
    found text;
begin
    set local lock_timeout = '2s';
    set local session_replication_role = replica;
    perform pg_terminate_backend(pid, 2000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
        and (application_name not in ('usher', 'tests') or state <> 'idle');
    for found in select format('drop sequence %s', oid::regclass) from pg_class
        where relkind = 'S' and relname like 'entry\_numbers\_%' loop
        execute found;
    end loop;
    for found in select format('delete from %s', oid::regclass) from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
            and not pg_temp.is_filled(oid) loop
        execute found;
    end loop;
    perform setval(seqrelid, seqstart, false) from pg_sequence;
end $$;

-- What the database is besides those rows: how many rows its catalogs and the tables above have, and which
-- transaction wrote the latest of them.
create function pg_temp.read_catalog() returns text[] language plpgsql as $$
declare
    found text[];
    one text;
    source text;
begin
    foreach source in array array[
        'pg_class where oid >= 16384', 'pg_attribute where attrelid >= 16384', 'pg_attrdef', 'pg_constraint',
        'pg_index where indexrelid >= 16384', 'pg_inherits', 'pg_proc where oid >= 16384',
        'pg_statistic', 'pg_trigger',
        'pg_type where oid >= 16384', 'audits', 'currencies', 'legal_moves', 'payment_methods',
        'schema_version'] loop
        execute format('select concat_ws('' '', count(*), max(xmin::text::bigint)) from %s', source) into one;
        found := found || one;
    end loop;
    return found;
end $$;
