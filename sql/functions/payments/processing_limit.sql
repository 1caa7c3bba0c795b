/* Returns how long the gateway may process a payment before it becomes a dead letter. Debits take days. */
create or replace function processing_limit(p_method text) returns interval
language sql immutable parallel safe as $$
    select case when p_method in ('sepa_debit', 'us_bank_account') then interval '14 days'
        when can_be_authorised(p_method) then interval '15 min'
        else interval '1 day' end
$$;
