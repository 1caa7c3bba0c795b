/* Foreign keys checked a statement at a time: seats and booking_items are written in batches of
   thousands, and PostgreSQL's own checks go row by row (ops/docs/decisions/bookings.md has the figures). The other
   direction is kept by refusing to delete bookings that something refers to. */

create or replace function check_bookings_exist() returns trigger language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    orphan record;
begin
    -- Planned anew each time: a plan from when there were few bookings reads all of the event's for each
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

create or replace trigger booking_items_insert_refers after insert on booking_items
    referencing new table as new_rows for each statement execute function check_bookings_exist();
create or replace trigger booking_items_update_refers after update on booking_items
    referencing new table as new_rows for each statement execute function check_bookings_exist();
create or replace trigger seats_insert_refers after insert on seats
    referencing new table as new_rows for each statement execute function check_bookings_exist();
create or replace trigger seats_update_refers after update on seats
    referencing new table as new_rows for each statement execute function check_bookings_exist();

create or replace function keep_referred_bookings() returns trigger language plpgsql as $$
begin
    if exists (select from old_rows o join seats s on s.event_id = o.event_id and s.booking_id = o.id)
        or exists (select from old_rows o join booking_items i
                   on i.event_id = o.event_id and i.booking_id = o.id) then
        raise foreign_key_violation using message = 'a booking that seats or items refer to stays';
    end if;
    return null;
end $$;

create or replace trigger bookings_stay_while_referred after delete on bookings
    referencing old table as old_rows for each statement execute function keep_referred_bookings();
