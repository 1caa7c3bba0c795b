/* Tells whether a payment has an open dispute. */
create or replace function has_open_dispute(p_event bigint, p_payment uuid) returns boolean
language sql stable as $$
    select exists (select from disputes d where d.event_id = p_event and d.payment_id = p_payment and is_open(d.state))
$$;
