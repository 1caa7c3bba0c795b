/* Returns the progress of bookings, each with an attempt to pay: its latest, unless p_payments names another. The
   arrays belong together. What the columns mean: PaymentProgress in db/payments/payments.py. p_key_trusted to
   p_seats_wait: db/payments/time_limits.py. */
create or replace function list_progress(
    p_events bigint[], p_bookings uuid[], p_payments uuid[], p_key_trusted interval, p_on_its_way interval,
    p_lapses_soon interval, p_charge_late interval, p_seats_wait interval)
returns table (
    event_id bigint, booking_id uuid, booking_state text, booking_reason text, buyer_id bigint, total bigint,
    currency text, payment_id uuid, payment_state text, gateway_account_id bigint, provider text, method text,
    can_be_authorised boolean, amount bigint, payment_currency text, params jsonb, idempotency_n smallint,
    first_sent_at timestamptz, last_sent_at timestamptz, gateway_ref text, key_too_old boolean,
    just_sent boolean, overdue boolean, lapsing boolean, too_late boolean, gateway_gone boolean)
language sql stable
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
    select b.event_id, b.id, b.state, b.reason, b.buyer_id, b.total, b.currency, p.id, p.state,
        a.real_account_id, a.provider, p.method, can_be_authorised(p.method), p.amount, p.currency, p.params,
        p.idempotency_n, p.first_sent_at, p.updated_at, p.gateway_ref,
        p.first_sent_at < clock_timestamp() - p_key_trusted,
        p.updated_at > clock_timestamp() - p_on_its_way,
        p.state = 'processing' and p.updated_at < clock_timestamp() - processing_limit(p.method),
        lapses_at(p) < clock_timestamp() + p_lapses_soon,
        case when b.state = 'secured' and p.state in ('intended', 'unknown')
            then hold_deadline(b) + p_charge_late < clock_timestamp() else false end,
        exists (select from outages o
                where o.gateway_account_id = p.gateway_account_id and o.closed_at is null
                    and o.opened_at < clock_timestamp() - p_seats_wait)
    from unnest(p_events, p_bookings, p_payments) w (event_id, booking_id, payment_id)
    join bookings b on b.event_id = w.event_id and b.id = w.booking_id
    left join payments p on p.id = coalesce(w.payment_id, b.payment_id)
    left join gateway_accounts a on a.id = p.gateway_account_id
$$;
