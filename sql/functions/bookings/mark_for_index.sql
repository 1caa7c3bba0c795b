/* Marks bookings of an event: the terms by which they are found are to be written anew. */
create or replace function mark_for_index(p_event bigint, p_bookings uuid[]) returns void
language sql as $$
    insert into bookings_to_index (event_id, booking_id)
    select p_event, id from unnest(p_bookings) id order by id on conflict do nothing
$$;
