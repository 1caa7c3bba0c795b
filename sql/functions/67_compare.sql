/* The comparison of one page of what the gateway has with the tables, in one statement each: the
   differences alone, by kind. The functions change nothing.

   Kinds end in _missing where the gateway does not know of what we have. What somebody works on, or what
   has changed since the page was asked for, is in flight: a later run sees what has become of it. */

/* All gateway accounts that are one at the gateway. */
create or replace function books_of(p_account bigint) returns setof bigint language sql stable as $$
    select o.id from gateway_accounts a
    join gateway_accounts o
        on o.provider = a.provider and o.external_account is not distinct from a.external_account
    where a.id = p_account
$$;

/* The least id that uuid7() could have made at a moment. */
create or replace function uuid7_at(p_at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

/* Whether a task of that kind waits or runs. */
create or replace function is_under_way(p_actor text, p_key text) returns boolean
language sql stable as $$
    select exists (select from outbox where actor = p_actor and key = p_key)
$$;

/* Whether a payment is of a booking in the archive, whose books were even when it went there. */
create or replace function is_archived(p_payment uuid) returns boolean
language sql stable set enable_seqscan = off as $$
    select exists (select from archived_payments where payment_id = p_payment)
$$;

create or replace function is_young(p_at timestamptz) returns boolean language sql volatile as $$
    select p_at > clock_timestamp() - interval '2 min'
$$;

/* Of the money of a payment that has no seats any more, what nobody has decided about. */
create or replace function unclaimed(p payments) returns bigint language sql stable as $$
    select p.captured - p.kept - (
            select coalesce(sum(r.amount), 0) from refunds r where r.payment_id = p.id
                and (r.state <> 'failed' or r.retried_by is null))
        - (select coalesce(sum(d.amount), 0) from disputes d
           where d.payment_id = p.id and (is_open(d.state) or d.state = 'lost'))
$$;

/* p_there: [{id, made_at, state, amount, currency, captured, refunded, payment_id: of our marks, or
   null}], state in our words or 'processing'. */
create or replace function compare_payments(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select k.kind, case when p.id is null or k.kind = 'second_payment' then g.id else p.id::text end,
        g.made_at,
        case when p.id is null then is_young(g.made_at)
            else is_young(p.updated_at) or is_under_way('advance', p.booking_id::text)
                or is_under_way('return_stray', p.id::text) end,
        p.event_id, p.booking_id, p.id,
        case when p.id is not null then jsonb_build_object('state', p.state, 'captured', p.captured,
            'currency', coalesce(p.captured_currency, p.currency), 'gateway_id', p.gateway_id,
            'booking_state', b.state) end,
        to_jsonb(g),
        m.repair, case m.repair when 'advance' then p.booking_id else p.id end::text,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id)
            || case m.repair when 'advance' then '{}' else jsonb_build_object('payment_id', p.id) end
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, captured bigint, refunded bigint, payment_id uuid)
    left join payments p on p.id = coalesce(g.payment_id, (
        select o.id from payments o
        where o.gateway_id = g.id and o.gateway_account_id = any (array(select books_of(p_account)))))
    left join bookings b on b.event_id = p.event_id and b.id = p.booking_id
    cross join lateral (select g.state = 'voided' or g.state = 'captured' and g.refunded >= g.captured
        as is_over) o
    cross join lateral (select case
        when p.id is null and g.payment_id is null then null
        when p.id is null then case when not o.is_over and not is_archived(g.payment_id)
            then 'unknown_payment' end
        when not p.gateway_account_id = any (array(select books_of(p_account))) then null
        when p.gateway_id <> g.id then case when not o.is_over then 'second_payment' end
        when p.state in ('intended', 'unknown', 'requires_action', 'processing', 'authorised')
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
        when 'payment_goes_on' then 'return_stray' when 'late_money' then 'return_money' end as repair) m
    where k.kind is not null
    order by g.id
$$;

/* p_there: [{id, made_at, state, amount, currency, payment_gateway_id, refund_id: of our marks, or
   null}]. One that is not of a payment of ours is nobody's business here. */
create or replace function compare_refunds(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select k.kind, case when k.kind = 'refund_unknown' then g.id else r.id::text end, g.made_at,
        case when k.kind = 'refund_unknown' then is_under_way('adopt_refund', g.id)
            else is_young(r.updated_at) or is_under_way('refund', r.id::text) end,
        p.event_id, p.booking_id, p.id,
        case when k.kind <> 'refund_unknown' then jsonb_build_object('state', r.state, 'amount', r.amount,
            'currency', r.currency, 'gateway_id', r.gateway_id) end,
        to_jsonb(g),
        m.repair, case m.repair when 'refund' then r.id::text else g.id end,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id) || case m.repair
            when 'refund' then jsonb_build_object('refund_id', r.id)
            else jsonb_build_object('payment_id', p.id, 'gateway_refund_id', g.id) end
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, payment_gateway_id text, refund_id uuid)
    join payments p on p.gateway_id = g.payment_gateway_id
        and p.gateway_account_id = any (array(select books_of(p_account)))
    left join refunds r on r.id = coalesce(
        (select f.id from refunds f where f.gateway_id = g.id), g.refund_id)
    cross join lateral (select case
        when r.id is null or r.gateway_id <> g.id
            then case when g.state <> 'failed' then 'refund_unknown' end
        when r.amount <> g.amount or r.currency <> g.currency then 'other_refund'
        when r.state = 'failed' and g.state <> 'failed' then 'refund_went_through'
        when r.gateway_id is null or r.state <> g.state then 'refund_behind'
        end as kind) k
    cross join lateral (select case k.kind when 'refund_unknown' then 'adopt_refund'
        when 'refund_behind' then 'refund' end as repair) m
    where k.kind is not null
    order by g.id
$$;

/* p_there: [{id, made_at, state: the gateway's own word, amount, currency, payment_gateway_id}]. */
create or replace function compare_disputes(p_account bigint, p_there jsonb) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select 'dispute_behind', g.id, g.made_at, is_under_way('look_at_dispute', g.id),
        p.event_id, p.booking_id, p.id,
        case when d.gateway_id is not null then jsonb_build_object('state', d.state, 'amount', d.amount) end,
        to_jsonb(g), 'look_at_dispute', g.id,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id, 'payment_id', p.id,
            'dispute_id', g.id)
    from jsonb_to_recordset(p_there) g(id text, made_at timestamptz, state text, amount bigint,
        currency text, payment_gateway_id text)
    join payments p on p.gateway_id = g.payment_gateway_id
        and p.gateway_account_id = any (array(select books_of(p_account)))
    left join disputes d on d.gateway_id = g.id
    where (d.state, d.amount) is distinct from (g.state, g.amount)
    order by g.id
$$;

/* What we have and the gateway has not: p_ids are ours, of a phase, that it does not know; null: those of
   which it was never told, and nobody will. */
create or replace function compare_ours(p_phase text, p_ids text[]) returns setof difference
language sql set enable_seqscan = off set jit = off as $$
    select case when p.gateway_id is null then 'payment_forgotten' else 'payment_missing' end, p.id::text,
        p.created_at, is_young(p.updated_at) or is_under_way('advance', p.booking_id::text)
            or is_under_way('return_stray', p.id::text),
        p.event_id, p.booking_id, p.id, jsonb_build_object('state', p.state, 'captured', p.captured,
            'currency', p.currency, 'gateway_id', p.gateway_id), null::jsonb,
        case when p.gateway_id is null then 'advance' end, p.booking_id::text,
        jsonb_build_object('event_id', p.event_id, 'booking_id', p.booking_id)
    from payments p where p_phase = 'our payments' and p.id = any (p_ids::uuid[])
    union all
    select case when r.gateway_id is null and r.state = 'pending' then 'refund_forgotten'
            else 'refund_missing' end, r.id::text,
        r.created_at, is_young(r.updated_at) or is_under_way('refund', r.id::text),
        r.event_id, r.booking_id, r.payment_id, jsonb_build_object('state', r.state, 'amount', r.amount,
            'currency', r.currency, 'gateway_id', r.gateway_id), null,
        case when r.gateway_id is null and r.state = 'pending' then 'refund' end, r.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', r.id)
    from refunds r where p_phase = 'our refunds' and r.id = any (p_ids::uuid[])
    union all
    select 'dispute_missing', d.gateway_id, d.created_at, is_young(d.updated_at),
        d.event_id, d.booking_id, d.payment_id, jsonb_build_object('state', d.state, 'amount', d.amount,
            'currency', d.currency), null, null, null,
        jsonb_build_object('event_id', d.event_id, 'booking_id', d.booking_id)
    from disputes d where p_phase = 'our disputes' and d.gateway_id = any (p_ids)
    order by 2
$$;
