/* Moves a booking back to held after its payment was declined: the buyer may pay with a new attempt until
   the deadline. A booking that was secured for a charge at once, which may take days, is not reopened after
   its deadline. False: see secure_booking. */
create or replace function reopen_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'held', payment_id = null
    where event_id = p_event and id = p_booking and payment_id = p_payment
        and (state = 'authorising' or state = 'secured' and clock_timestamp() < hold_deadline(bookings));
    return found;
end $$;
