/* Restores the booking of a payment from the archive: see find_archived_payment. */
create or replace function restore_payment(
    p_payment uuid, p_gateway_ref text, p_account text default null, p_signer bigint default null)
returns boolean language sql as $$
    select coalesce(bool_or(restore_booking(p.event_id, p.booking_id)), false)
    from find_archived_payment(p_account, p_payment, p_gateway_ref, p_signer) p where p.payment_id is not null
$$;
