/* Gives an offline payment up, unless it was marked as paid before. Money that came for a part of it is surplus from
   then on, and the buyer is told. The payment is locked, so that no transfer is recorded meanwhile. */
create or replace function give_up_offline(p_event bigint, p_payment uuid) returns void
language plpgsql set enable_seqscan = off as $$
declare
    p payments;
    came bigint;
begin
    select * into p from payments where event_id = p_event and id = p_payment for update;
    insert into offline_payments (payment_id, gateway_account_id, cancelled_at)
    values (p.id, p.gateway_account_id, clock_timestamp()) on conflict do nothing;
    if not found then
        return;
    end if;
    select sum(amount - surplus) into came from transfers where payment_id = p_payment;
    if came > 0 then
        update transfers set surplus = amount where payment_id = p_payment and surplus < amount;
        perform tell_of_transfer(p_event, p.booking_id, 'overpaid', jsonb_build_object(
            'amount', came, 'surplus', came, 'currency', p.currency));
    end if;
end $$;
