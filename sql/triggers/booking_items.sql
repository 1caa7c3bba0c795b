create or replace trigger booking_items_insert_refers after insert on booking_items
    referencing new table as new_rows for each statement execute function check_bookings_exist();

create or replace trigger booking_items_update_refers after update on booking_items
    referencing new table as new_rows for each statement execute function check_bookings_exist();
