/* Adds up a document's amounts by rate of tax: total = net + tax, each the sum over p_taxes. */
create or replace function sum_taxes(p_taxes jsonb) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object('taxes', p_taxes, 'net', sum((t ->> 'net')::bigint),
        'tax', sum((t ->> 'tax')::bigint), 'total', sum((t ->> 'total')::bigint))
    from jsonb_array_elements(p_taxes) t
$$;
