create or replace trigger bookings_moves after update on bookings
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('booking', 'logged');

create or replace trigger bookings_birth after insert on bookings
    referencing new table as new_rows
    for each statement execute function log_birth('booking');

/* Refuses to delete bookings that seats or items refer to, see check_bookings_exist. */
create or replace function keep_referred_bookings() returns trigger language plpgsql as $$
begin
    if exists (select from old_rows o join seats s on s.event_id = o.event_id and s.booking_id = o.id)
        or exists (select from old_rows o join booking_items i
                   on i.event_id = o.event_id and i.booking_id = o.id) then
        raise foreign_key_violation using message = 'seats or items refer to a booking';
    end if;
    return null;
end $$;

create or replace trigger bookings_stay_while_referred after delete on bookings
    referencing old table as old_rows for each statement execute function keep_referred_bookings();

/* Notes that a receipt is due, in the transaction that confirms the booking, unless it is a test. tasks/receipts.py numbers it
   later. */
create or replace function note_receipt() returns trigger language plpgsql as $$
begin
    insert into receipts_due (organisation_id, event_id, booking_id, occasion)
    select new.organisation_id, new.event_id, new.id, 'confirmed'
    where not exists (select from events where id = new.event_id and is_test);
    return null;
end $$;

create or replace trigger bookings_receipt_due after update of confirmed_at on bookings
    for each row when (old.confirmed_at is null and new.confirmed_at is not null and new.total > 0)
    execute function note_receipt();

/* Wakes the lane when bookings have ended or are confirmed: it may change the prospects of standby
   entries. */
create or replace function wake_lanes() returns trigger language plpgsql as $$
begin
    insert into lane_wakes (event_id, kind)
    select n.event_id, case when bool_or(n.ended_at is not null) then 'released' else 'settled' end
    from old_rows o join new_rows n on n.event_id = o.event_id and n.id = o.id
    where booking_is_open(o.state) and not booking_is_open(n.state)
        or booking_is_sold(o.state) and n.state = 'cancelled'
    group by n.event_id;
    return null;
end $$;

create or replace trigger bookings_wake_lanes after update on bookings
    referencing old table as old_rows new table as new_rows
    for each statement execute function wake_lanes();
