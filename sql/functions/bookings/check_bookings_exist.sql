/* Checks a foreign key once per statement: seats and booking_items are written in batches of thousands, and
   PostgreSQL's own checks go row by row (ops/docs/decisions/bookings.md has the figures). For the other
   direction a trigger refuses to delete a booking that has references (sql/triggers/bookings.sql). */
create or replace function check_bookings_exist() returns trigger language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    orphan record;
begin
    -- Planned anew each time. A plan from a time with few bookings reads all bookings of the event for each
    -- seat, by the wrong index, until the next analyze: 70 times the work.
    execute '
        select n.event_id, n.seat, n.booking_id
        from new_rows n
        where n.booking_id is not null and not exists (
            select from bookings b where b.event_id = n.event_id and b.id = n.booking_id)
        limit 1' into orphan;
    if orphan is not null then
        raise foreign_key_violation using message = format(
            '%s: seat %s of event %s refers to booking %s, which does not exist',
            tg_table_name, orphan.seat, orphan.event_id, orphan.booking_id);
    end if;
    return null;
end $$;
