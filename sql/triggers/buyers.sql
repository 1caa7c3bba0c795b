/* Marks the bookings of a buyer who has another name: they are found by it. */
create or replace function mark_renamed() returns trigger language plpgsql as $$
begin
    insert into bookings_to_index (event_id, booking_id)
    select event_id, id from bookings where buyer_id = new.id order by id on conflict do nothing;
    return null;
end $$;

create or replace trigger buyers_renamed after update of name on buyers
    for each row when (old.name is distinct from new.name) execute function mark_renamed();
