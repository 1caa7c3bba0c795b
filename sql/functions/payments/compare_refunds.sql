/* Compares a page of refunds, see compare_payments. p_there: [{id, made_at, state, amount, currency,
   payment_gateway_ref, refund_id: from the metadata that Usher sent, or null}]. Refunds of payments that
   are not Usher's are left out. */
create or replace function compare_refunds(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select k.kind, case when k.kind = 'refund_unknown' then g.id else r.id::text end, g.made_at,
        case when k.kind = 'refund_unknown' then is_under_way('adopt_refund', g.id)
            else is_young(r.updated_at) or is_under_way('refund', r.id::text) end,
        p.event_id, p.booking_id, p.id,
        case when k.kind <> 'refund_unknown' then jsonb_build_object('state', r.state, 'amount', r.amount,
            'currency', r.currency, 'gateway_id', r.gateway_ref) end,
        to_jsonb(g) - 'payment_gateway_ref'
            || jsonb_build_object('payment_gateway_id', g.payment_gateway_ref),
        m.repair, case m.repair when 'refund' then r.id::text else g.id end,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id) || case m.repair
            when 'refund' then jsonb_build_object('refund_id', r.id)
            else jsonb_build_object('payment_id', p.id, 'gateway_refund_id', g.id) end
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, payment_gateway_ref text, refund_id uuid)
    join payments p on p.gateway_ref = g.payment_gateway_ref
        and p.gateway_account_id = any (array(select same_gateway_accounts(p_account)))
    left join refunds r on r.id = coalesce(
        (select f.id from refunds f where f.gateway_ref = g.id), g.refund_id)
    cross join lateral (select case
        when r.id is null or r.gateway_ref <> g.id
            then case when g.state <> 'failed' then 'refund_unknown' end
        when r.amount <> g.amount or r.currency <> g.currency then 'other_refund'
        when r.state = 'failed' and g.state <> 'failed' then 'refund_went_through'
        when r.gateway_ref is null or r.state <> g.state then 'refund_behind'
        end as kind) k
    cross join lateral (select case k.kind when 'refund_unknown' then 'adopt_refund'
        when 'refund_behind' then 'refund' end as repair) m
    where k.kind is not null
    order by g.id
$$;
