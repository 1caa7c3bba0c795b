/* Declined: the buyer may pay again until the deadline, with a new attempt. One that was secured for a
   charge at once, which may take days, is not opened again after its deadline. False: see
   secure_booking. */
create or replace function reopen_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'held', payment_id = null
    where event_id = p_event and id = p_booking and payment_id = p_payment
        and (state = 'authorising' or state = 'secured' and clock_timestamp() < hold_deadline(bookings));
    return found;
end $$;
