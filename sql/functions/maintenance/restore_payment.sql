/* Restores the booking of a payment from the archive, by Usher's id of the payment or by the gateway's. */
create or replace function restore_payment(p_payment uuid, p_gateway_ref text) returns boolean
language sql as $$
    select coalesce(bool_or(restore_booking(event_id, booking_id)), false)
    from (select event_id, booking_id from archived_payments
          where payment_id = p_payment or gateway_ref = p_gateway_ref limit 1) p
$$;
