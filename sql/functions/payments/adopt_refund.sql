/* Adopts a refund that was made in the gateway's dashboard. It concerns money alone: no seat is released;
   the buyer is told. outcome: 'adopted'; 'known'; 'failed': no money has moved; 'not_yet': its payment has
   not ended here; 'too_much': it is more than the refundable rest of the payment. */
create or replace function adopt_refund(
    p_event bigint, p_payment uuid, p_gateway_ref text, p_state text, p_amount bigint,
    p_currency text,
    out outcome text, out refund_id uuid)
language plpgsql set enable_seqscan = off as $$
declare
    paid payments;
begin
    select * into paid from payments where event_id = p_event and id = p_payment for update;
    select id into refund_id from refunds where gateway_ref = p_gateway_ref;
    outcome := case
        when refund_id is not null then 'known'
        when p_state = 'failed' then 'failed'
        when p_amount > paid.captured and paid.state not in ('captured', 'failed', 'voided') then 'not_yet'
        when p_amount > paid.captured - paid.refunded then 'too_much'
        when p_currency <> coalesce(paid.captured_currency, paid.currency) then 'too_much'
        else 'adopted' end;
    if outcome <> 'adopted' then
        return;
    end if;
    refund_id := uuid7();
    insert into refunds (id, payment_id, event_id, booking_id, amount, currency, state, reason, cause,
        requested_by, gateway_ref, first_sent_at)
    values (refund_id, p_payment, paid.event_id, paid.booking_id, p_amount, p_currency, p_state,
        'made in the gateway''s dashboard', 'dashboard', 'gateway', p_gateway_ref, clock_timestamp());
    update payments set kept = least(kept, captured - refunded) where id = p_payment;
    perform tell_of_refund(p_event, refund_id, 'refunded');
    perform audit('refund adopted', paid.event_id, jsonb_build_object('refund_id', refund_id,
        'payment_id', p_payment, 'gateway_id', p_gateway_ref, 'amount', p_amount,
        'currency', p_currency));
    if p_state = 'pending' then
        perform enqueue('refund', 'payments', refund_id::text, jsonb_build_object('event_id',
            paid.event_id, 'booking_id', paid.booking_id, 'refund_id', refund_id), paid.event_id);
    end if;
end $$;
