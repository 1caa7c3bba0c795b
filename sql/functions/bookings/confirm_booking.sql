/* Confirms a booking, the saga's last step: sells its seats and issues its tickets. False: see
   secure_booking. */
create or replace function confirm_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql set enable_seqscan = off as $$
begin
    update bookings set state = 'confirmed', confirmed_at = clock_timestamp()
    where event_id = p_event and id = p_booking and payment_id = p_payment and state = 'secured';
    if not found then
        return false;
    end if;
    update seats s set state = 'sold'
    from booking_items i
    where i.event_id = p_event and i.booking_id = p_booking
        and s.event_id = i.event_id and s.seat = i.seat and s.booking_id = p_booking;
    perform issue_tickets(p_event, array[p_booking]);
    return true;
end $$;
