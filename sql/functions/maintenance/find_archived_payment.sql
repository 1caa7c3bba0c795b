/* Finds the booking in the archive that has a payment, by Usher's id of the payment or by the gateway's,
   among the payments of one account at Stripe (take_notification says which). Null: there is none. */
create or replace function find_archived_payment(
    p_account text, p_payment uuid, p_gateway_ref text, p_signer bigint)
returns archived_payments language sql stable as $$
    select p from archived_payments p join gateway_accounts a on a.id = p.gateway_account_id
    where (p.payment_id = p_payment or p.gateway_ref = p_gateway_ref)
        and is_signed_for(a, p_account, p_signer)
    limit 1
$$;
