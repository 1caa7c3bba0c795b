/* Computes the tax that an amount contains. It is rounded half up to the currency step, once for each
   item, so that every sum of items is the same. */
create or replace function tax_in(p_amount bigint, p_rate numeric, p_step integer) returns bigint
language sql immutable parallel safe as $$
    select (round(p_amount * p_rate / (1 + p_rate) / p_step) * p_step)::bigint
$$;
