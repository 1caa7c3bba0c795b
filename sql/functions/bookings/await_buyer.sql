/* Moves a booking from secured back to authorising: its payment is charged at once, and the buyer has to
   approve that first. The seats can expire again. False: see secure_booking. */
create or replace function await_buyer(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'authorising'
    where event_id = p_event and id = p_booking and payment_id = p_payment and state = 'secured';
    return found;
end $$;
