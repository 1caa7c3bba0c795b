/* Restores the state log of a booking that leaves the archive: the log's partition may have been dropped,
   and the log would be lost when the booking is archived again. */
create or replace function put_log_back() returns trigger language plpgsql
set enable_seqscan = off set timezone = 'UTC' as $$
declare
    missing constant state_log[] := array(
        select l from jsonb_populate_recordset(null::state_log, old.document -> 'log') l
        where not exists (select from state_log s where s.event_id = l.event_id and s.id = l.id
            and s.at = l.at and s.new_state = l.new_state));
begin
    if missing <> '{}' then
        perform pg_advisory_xact_lock(hashtext('usher.ensure_partitions'));
        perform make_partition('state_log', month)
        from (select distinct date_trunc('month', at)::date as month from unnest(missing)) m;
        perform guard_log();
        insert into state_log select * from unnest(missing);
    end if;
    return null;
end $$;

create or replace trigger archived_bookings_log after delete on archived_bookings
    for each row execute function put_log_back();
