/* Lists which of some payment methods can charge a currency, with the limits of one payment. */
create or replace function chargeable(p_methods text[], p_currency text)
returns table (method text, minimum_charge bigint, maximum_charge bigint, settles_in interval)
language sql stable as $$
    select m.method, coalesce(m.minimum_charge, c.minimum_charge),
        coalesce(m.maximum_charge, c.maximum_charge), m.settles_in
    from payment_methods m join currencies c on c.code = m.currency
    where m.currency = p_currency and m.method = any (p_methods)
$$;
