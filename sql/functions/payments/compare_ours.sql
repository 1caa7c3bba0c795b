/* Returns differences for objects that the tables have and the gateway does not. p_ids: ids of the
   phase's kind that the gateway does not know, or that were never sent to it. */
create or replace function compare_ours(p_phase text, p_ids text[]) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select case when p.gateway_ref is null then 'payment_forgotten' else 'payment_missing' end, p.id::text,
        p.created_at, is_young(p.updated_at) or is_under_way('advance', p.booking_id::text)
            or is_under_way('stop_unexpected', p.id::text),
        p.event_id, p.booking_id, p.id, jsonb_build_object('state', p.state, 'captured', p.captured,
            'currency', p.currency, 'gateway_id', p.gateway_ref), null::jsonb,
        case when p.gateway_ref is null then 'advance' end, p.booking_id::text,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id)
    from payments p where p_phase = 'our payments' and p.id = any (p_ids::uuid[])
    union all
    select case when r.gateway_ref is null and r.state = 'pending' then 'refund_forgotten'
            else 'refund_missing' end, r.id::text,
        r.created_at, is_young(r.updated_at) or is_under_way('refund', r.id::text),
        r.event_id, r.booking_id, r.payment_id, jsonb_build_object('state', r.state, 'amount', r.amount,
            'currency', r.currency, 'gateway_id', r.gateway_ref), null,
        case when r.gateway_ref is null and r.state = 'pending' then 'refund' end, r.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', r.id)
    from refunds r where p_phase = 'our refunds' and r.id = any (p_ids::uuid[])
    union all
    select 'dispute_missing', d.gateway_ref, d.created_at, is_young(d.updated_at),
        d.event_id, d.booking_id, d.payment_id, jsonb_build_object('state', d.state, 'amount', d.amount,
            'currency', d.currency), null, null, null,
        jsonb_build_object('event_id', d.event_id, 'booking_id', d.booking_id)
    from disputes d where p_phase = 'our disputes' and d.gateway_ref = any (p_ids)
    order by 2
$$;
