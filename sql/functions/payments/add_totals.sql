/* Adds the money of a page to the run's totals. In a phase that begins with "our", p_there is [{ours: id}]:
   the ids that the gateway does not know. */
create or replace function add_totals(p_run bigint, p_account bigint, p_phase text, p_there jsonb)
returns void language sql set enable_seqscan = off set jit = off as $$
    insert into reconciliation_totals as t
        (reconciliation_id, currency, captured_here, captured_there, refunded_here, refunded_there)
    select p_run, s.currency, sum(s.captured_here), sum(s.captured_there), sum(s.refunded_here),
        sum(s.refunded_there)
    from (
        select g.currency, 0 as captured_here, g.captured as captured_there, 0 as refunded_here,
            0 as refunded_there
        from jsonb_to_recordset(p_there) g(currency text, captured bigint, payment_id uuid)
        where p_phase = 'payments' and g.payment_id is not null and not is_archived(g.payment_id)
        union all
        select coalesce(p.captured_currency, p.currency), p.captured, 0, 0, 0
        from jsonb_to_recordset(p_there) g(id text, payment_id uuid)
        join payments p on p.id = g.payment_id and p.gateway_ref = g.id
        where p_phase = 'payments'
        union all
        select g.currency, 0, 0, 0, case when g.state = 'failed' then 0 else g.amount end
        from jsonb_to_recordset(p_there) g(currency text, state text, amount bigint, payment_gateway_ref text)
        join payments p on p.gateway_ref = g.payment_gateway_ref
            and p.gateway_account_id = any (array(select same_gateway_accounts(p_account)))
        where p_phase = 'refunds'
        union all
        select r.currency, 0, 0, case when r.state = 'failed' then 0 else r.amount end, 0
        from jsonb_to_recordset(p_there) g(id text)
        join refunds r on r.gateway_ref = g.id
        where p_phase = 'refunds'
        union all
        select p.currency, p.captured, 0, 0, 0
        from jsonb_to_recordset(p_there) g(ours text) join payments p on p.id = g.ours::uuid
        where p_phase = 'our payments'
        union all
        select r.currency, 0, 0, r.amount, 0
        from jsonb_to_recordset(p_there) g(ours text) join refunds r on r.id = g.ours::uuid
        where p_phase = 'our refunds') s
    group by s.currency
    on conflict (reconciliation_id, currency) do update
    set captured_here = t.captured_here + excluded.captured_here,
        captured_there = t.captured_there + excluded.captured_there,
        refunded_here = t.refunded_here + excluded.refunded_here,
        refunded_there = t.refunded_there + excluded.refunded_there;
$$;
