/* The buyer of a booking; null: there is no such booking, or the buyer's data were erased. */
create or replace function buyer_to_correct(p_event bigint, p_booking uuid) returns buyers
language sql stable as $$
    select u from bookings b join buyers u on u.id = b.buyer_id
    where b.event_id = p_event and b.id = p_booking and not is_erased(u.id)
$$;
