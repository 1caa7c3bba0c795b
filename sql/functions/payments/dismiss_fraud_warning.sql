/* Dismisses a fraud warning for an organiser who trusts the payment, and unfreezes the booking. p_scope:
   the caller's organisation; null: all organisations. outcome: 'done', 'no_booking', 'not_frozen',
   'disputed'. */
create or replace function dismiss_fraud_warning(
    p_event bigint, p_scope bigint, p_booking uuid, p_reason text,
    out outcome text, out booking_state text)
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
begin
    perform wake_cancellation(p_event);
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state <> 'frozen' then 'not_frozen'
        when not has_fraud_warning(p_event, b.payment_id) then 'disputed'
        else 'done' end;
    booking_state := b.state;
    if outcome <> 'done' then
        return;
    end if;
    update fraud_warnings set dismissed_at = clock_timestamp()
    where payment_id = b.payment_id and actionable and dismissed_at is null;
    if not has_open_dispute(p_event, b.payment_id) then
        perform unfreeze_booking(p_event, p_booking);
        booking_state := 'confirmed';
    end if;
    perform audit('booking unfrozen', p_event,
        jsonb_build_object('booking_id', p_booking,
            'state', jsonb_build_object('from', b.state, 'to', booking_state)),
        b.organisation_id, b.buyer_id, jsonb_build_object('reason', p_reason));
end $$;
