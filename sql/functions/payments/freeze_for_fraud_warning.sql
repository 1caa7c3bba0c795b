/* Records a fraud warning about a payment and freezes its booking. Returns the booking's state; null: the
   booking is being confirmed, and nothing was changed. */
create or replace function freeze_for_fraud_warning(p_event bigint, p_payment uuid) returns text
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
begin
    select k.* into b from payments p
    join bookings k on k.event_id = p.event_id and k.id = p.booking_id
    where p.event_id = p_event and p.id = p_payment for update of k;
    if booking_is_open(b.state)
            and b.payment_id = p_payment then
        return null;
    end if;
    if b.state = 'confirmed' and b.payment_id = p_payment and has_fraud_warning(p_event, p_payment) then
        perform freeze_booking(b.event_id, b.id);
        return 'frozen';
    end if;
    return b.state;
end $$;
