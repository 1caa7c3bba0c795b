/* Checks a foreign key once per statement: seats and booking_items are written in batches of thousands, and
   PostgreSQL's own checks go row by row (ops/docs/decisions/bookings.md has the figures). For the other
   direction a trigger refuses to delete a booking that has references (sql/triggers/bookings.sql). */
create or replace function check_bookings_exist() returns trigger language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    wanted record;
    orphan record;
    found_ids integer;
begin
    for wanted in
        select n.event_id, array_agg(distinct n.booking_id) as ids
        from new_rows n where n.booking_id is not null group by n.event_id
    loop
        -- Planned anew each time. A plan from a time with few bookings reads all bookings of the event for each
        -- seat, by the wrong index, until the next analyze: 70 times the work.
        execute 'select count(*) from bookings b where b.event_id = $1 and b.id = any ((select $2)::uuid[])'
            into found_ids using wanted.event_id, wanted.ids;
        if found_ids < cardinality(wanted.ids) then
            select n.seat, n.booking_id into orphan from new_rows n
            where n.event_id = wanted.event_id and n.booking_id is not null and not exists (
                select from bookings b where b.event_id = n.event_id and b.id = n.booking_id)
            limit 1;
            raise foreign_key_violation using message = format(
                '%s: seat %s of event %s refers to booking %s, which does not exist',
                tg_table_name, orphan.seat, wanted.event_id, orphan.booking_id);
        end if;
    end loop;
    return null;
end $$;
