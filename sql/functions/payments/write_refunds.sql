/* Writes refunds, p_amounts[j] of p_payments[j], with the exact parameters for the gateway, and their
   tasks. The j-th task runs p_spread * j seconds from now. Returns the refunds' ids, in order. */
create or replace function write_refunds(
    p_event bigint, p_payments uuid[], p_amounts bigint[], p_cause text, p_reason text,
    p_spread double precision default 0)
returns uuid[] language plpgsql set jit = off set enable_seqscan = off as $$
declare
    ids constant uuid[] := array(select uuid7() from generate_series(1, cardinality(p_payments)));
begin
    insert into refunds (id, payment_id, event_id, booking_id, amount, currency, reason, cause,
        requested_by, params)
    select w.id, p.id, p_event, p.booking_id, w.amount, coalesce(p.captured_currency, p.currency),
        p_reason, p_cause,
        acting(),
        jsonb_build_object(
            'payment_intent', p.gateway_ref,
            'amount', w.amount,
            'reason', 'requested_by_customer',
            'metadata', jsonb_build_object('event_id', p.event_id::text,
                'booking_id', p.booking_id::text, 'payment_id', p.id::text, 'refund_id', w.id::text))
    from unnest(ids, p_payments, p_amounts) w(id, payment, amount)
    join payments p on p.id = w.payment;
    perform enqueue('refund', 'payments', w.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', w.id),
        r.event_id, clock_timestamp() + make_interval(secs => p_spread * (w.place - 1)), 80)
    from unnest(ids) with ordinality w(id, place) join refunds r on r.id = w.id;
    return ids;
end $$;
