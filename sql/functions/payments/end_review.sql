/* Ends a review. The caller has woken the saga, then locked the booking. If it is approved, the saga captures the
   payment. If it is rejected, the seats are released at once, because no capture can follow; the saga voids
   the authorisation. */
create or replace function end_review(p_booking bookings, p_decision text, p_reason text, p_code text)
returns void language plpgsql as $$
begin
    if p_decision = 'approve' then
        perform secure_booking(p_booking.event_id, p_booking.id, p_booking.payment_id);
    else
        perform end_booking(p_booking.event_id, p_booking.id, '{review}', 'failed', p_code);
    end if;
    perform audit('review ended', p_booking.event_id, jsonb_build_object('booking_id', p_booking.id,
            'payment_id', p_booking.payment_id, 'decision', p_decision, 'reasons', p_booking.review_reasons),
        p_booking.organisation_id, p_booking.buyer_id, jsonb_build_object('reason', p_reason));
end $$;
