/* Compares one page of the gateway's payments with the tables, in one statement, as compare_refunds,
   compare_disputes and compare_ours do. Returns the differences and changes nothing.

   A kind that ends in _missing means that the gateway does not know an object of the tables. An object is
   in flight if a task works on it, or if it changed after the page was asked for: a later run compares it.

   p_there: [{id, made_at, state, amount, currency, captured, refunded, payment_id: from the metadata that
   Usher sent, or null}]. state: one of Usher's states, or 'processing'. */
create or replace function compare_payments(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select k.kind, case when p.id is null or k.kind = 'second_payment' then g.id else p.id::text end,
        g.made_at,
        case when p.id is null then is_young(g.made_at)
            else is_young(p.updated_at) or is_under_way('advance', p.booking_id::text)
                or is_under_way('stop_unexpected', p.id::text) end,
        p.event_id, p.booking_id, p.id,
        case when p.id is not null then jsonb_build_object('state', p.state, 'captured', p.captured,
            'currency', coalesce(p.captured_currency, p.currency), 'gateway_id', p.gateway_ref,
            'booking_state', b.state) end,
        to_jsonb(g),
        m.repair, case m.repair when 'advance' then p.booking_id else p.id end::text,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id)
            || case m.repair when 'advance' then '{}' else jsonb_build_object('payment_id', p.id) end
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, captured bigint, refunded bigint, payment_id uuid)
    left join payments p on p.id = coalesce(g.payment_id, (
        select o.id from payments o
        where o.gateway_ref = g.id and o.gateway_account_id = any (array(select same_gateway_accounts(p_account)))))
    left join bookings b on b.event_id = p.event_id and b.id = p.booking_id
    cross join lateral (select g.state = 'voided' or g.state = 'captured' and g.refunded >= g.captured
        as is_over) o
    cross join lateral (select case
        when p.id is null and g.payment_id is null then null
        when p.id is null then case when not o.is_over and not is_archived(g.payment_id)
            then 'unknown_payment' end
        when not p.gateway_account_id = any (array(select same_gateway_accounts(p_account))) then null
        when p.gateway_ref <> g.id then case when not o.is_over then 'second_payment' end
        when payment_is_open(p.state)
            then case when g.state <> p.state or b.ended_at is not null
                or b.state in ('secured', 'expiring') and p.state <> 'processing'
                then 'payment_behind' end
        when p.captured = 0 and g.state not in ('failed', 'voided') then 'payment_goes_on'
        when p.captured > 0 and g.state <> 'captured' then 'capture_missing'
        when p.captured > 0 and (p.captured <> g.captured
                or coalesce(p.captured_currency, p.currency) <> g.currency) then 'other_money'
        when (p.state = 'failed' or b.ended_at is not null) and unclaimed(p) > 0 then 'late_money'
        end as kind) k
    cross join lateral (select case k.kind when 'payment_behind' then 'advance'
        when 'payment_goes_on' then 'stop_unexpected' when 'late_money' then 'refund_unexpected' end as repair) m
    where k.kind is not null
    order by g.id
$$;

/* Returns the money of a payment without seats that no refund, decision or dispute accounts for. */
create or replace function unclaimed(p payments) returns bigint language sql stable as $$
    select p.captured - p.kept - (
            select coalesce(sum(r.amount), 0) from refunds r where r.payment_id = p.id
                and (r.state <> 'failed' or r.retried_by is null))
        - (select coalesce(sum(d.amount), 0) from disputes d
           where d.payment_id = p.id and (is_open(d.state) or d.state = 'lost'))
$$;
