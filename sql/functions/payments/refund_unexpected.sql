/* Refunds an unexpected payment, whole and only once, and tells the buyer. */
create or replace function refund_unexpected(p_event bigint, p_payment uuid, p_reason text)
returns void language plpgsql set enable_seqscan = off as $$
declare
    left_over bigint;
begin
    perform from payments where event_id = p_event and id = p_payment for update;
    left_over := refundable(p_event, p_payment);
    if left_over = 0 or exists (
            select from refunds where payment_id = p_payment and cause = 'odd_money') then
        return;
    end if;
    perform tell_of_refund(p_event, id, 'money_returned')
    from unnest(write_refunds(p_event, array[p_payment], array[left_over], 'odd_money', p_reason)) id;
end $$;
