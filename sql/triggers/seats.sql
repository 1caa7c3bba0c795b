/* Checks changes of seats against legal_moves; a seat cannot go from one booking to another either. */
create or replace function check_seat_moves() returns trigger language plpgsql
set enable_nestloop = off set enable_hashjoin = on set jit = off as $$
declare
    bad text;
begin
    select format('seat %s of event %s: %s may not become %s', n.seat, n.event_id, o.state, n.state)
    into bad
    from old_rows o join new_rows n on n.event_id = o.event_id and n.seat = o.seat
    where n.state <> o.state and not exists (
            select from legal_moves m
            where m.noun = 'seat' and m.old_state = o.state and m.new_state = n.state)
        or n.booking_id <> o.booking_id
    limit 1;
    if bad is not null then
        raise exception using errcode = 'check_violation', message = bad, constraint = 'legal_moves';
    end if;
    return null;
end $$;

create or replace trigger seats_moves after update on seats
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_seat_moves();

create or replace trigger seats_insert_refers after insert on seats
    referencing new table as new_rows for each statement execute function check_bookings_exist();

create or replace trigger seats_update_refers after update on seats
    referencing new table as new_rows for each statement execute function check_bookings_exist();
