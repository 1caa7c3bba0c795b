/* Compares a page of disputes, see compare_payments. p_there: [{id, made_at, state: the gateway's own
   word, amount, currency, payment_gateway_ref}]. */
create or replace function compare_disputes(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select 'dispute_behind', g.id, g.made_at, is_under_way('look_at_dispute', g.id),
        p.event_id, p.booking_id, p.id,
        case when d.gateway_ref is not null then jsonb_build_object('state', d.state, 'amount', d.amount) end,
        to_jsonb(g) - 'payment_gateway_ref'
            || jsonb_build_object('payment_gateway_id', g.payment_gateway_ref), 'look_at_dispute', g.id,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id, 'payment_id', p.id,
            'dispute_id', g.id)
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, payment_gateway_ref text)
    join payments p on p.gateway_ref = g.payment_gateway_ref
        and p.gateway_account_id = any (array(select same_gateway_accounts(p_account)))
    left join disputes d on d.gateway_ref = g.id
    where (d.state, d.amount) is distinct from (g.state, g.amount)
    order by g.id
$$;
