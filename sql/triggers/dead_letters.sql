/* Tells a buyer, once, that the payment is being checked: its task became a dead letter. */
create or replace function tell_being_checked() returns trigger language plpgsql as $$
begin
    perform notify_buyers(b.event_id, array[b.id], 'being_checked') from bookings b
    where b.event_id = new.event_id and b.id = new.booking_id
        and booking_is_under_way(b.state);
    return null;
end $$;

create or replace trigger dead_letters_tell after insert on dead_letters
    for each row when (new.actor = 'advance') execute function tell_being_checked();
