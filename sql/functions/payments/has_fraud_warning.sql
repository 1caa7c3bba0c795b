/* Tells whether a payment has a fraud warning that is not decided. */
create or replace function has_fraud_warning(p_event bigint, p_payment uuid) returns boolean
language sql stable as $$
    select exists (select from fraud_warnings
                   where event_id = p_event and payment_id = p_payment and actionable and dismissed_at is null)
$$;
