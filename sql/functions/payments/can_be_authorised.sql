/* Tells whether a payment method can be authorised before the capture. */
create or replace function can_be_authorised(p_method text) returns boolean
language sql immutable parallel safe as $$
    select p_method = 'card'
$$;
