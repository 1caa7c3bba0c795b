/* Tells whether a payment is in the archive; it had no open difference when it was archived. */
create or replace function is_archived(p_payment uuid) returns boolean
language sql stable set enable_seqscan = off as $$
    select exists (select from archived_payments where payment_id = p_payment)
$$;
