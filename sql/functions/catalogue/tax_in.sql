/* The tax contained in an amount: rounded to the step of its currency, half up, once per item, so that
   whatever adds items up adds up. */
create or replace function tax_in(p_amount bigint, p_rate numeric, p_step integer) returns bigint
language sql immutable parallel safe as $$
    select (round(p_amount * p_rate / (1 + p_rate) / p_step) * p_step)::bigint
$$;
