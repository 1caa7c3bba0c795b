/* Whether a payment is of a booking in the archive, whose books were even when it went there. */
create or replace function is_archived(p_payment uuid) returns boolean
language sql stable set enable_seqscan = off as $$
    select exists (select from archived_payments where payment_id = p_payment)
$$;
