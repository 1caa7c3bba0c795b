/* Secures a booking: its seats can no longer expire.

   Each outcome of a step of the saga (this function, confirm_bookings, await_buyer, reopen_booking and
   end_booking) is a compare-and-set that names the expected state and the attempt. False: another
   transaction was first, and nothing was changed. */
create or replace function secure_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'secured', reason = null
    where event_id = p_event and id = p_booking and payment_id = p_payment
        and state in ('authorising', 'expiring', 'review');
    return found;
end $$;
