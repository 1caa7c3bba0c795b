/* Marks a booking as paid offline, for an organiser, and wakes its saga. For an offline payment the
   organiser's word is the gateway's: the saga reads it as it reads any other gateway.

   p_scope: the caller's organisation; null: all organisations. outcome: 'done', or why not: 'no_booking',
   'not_offline', 'already_paid', 'partly_paid' (transfers came for a part of it), 'wrong_money' (amount and currency: what has to be paid),
   'reference_used', 'payment_ending' (the saga is just giving the payment up). late: the booking had ended
   before, and the money is refunded. */
create or replace function record_offline_payment(
    p_event bigint, p_scope bigint, p_booking uuid, p_reference text, p_amount bigint,
    p_currency text, out outcome text, out payment_id uuid, out late boolean, out amount bigint,
    out currency text)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
    b bookings;
    p payments;
    known offline_payments;
    was_late constant boolean := wake_for_receipt(p_event, p_booking);
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    select * into p from payments
    where event_id = p_event and booking_id = p_booking and method = 'offline' for update;
    select * into known from offline_payments o where o.payment_id = p.id;
    payment_id := p.id; amount := p.amount; currency := p.currency;
    late := known.cancelled_at is not null or p.state in ('voided', 'failed');
    outcome := case
        when b.id is null then 'no_booking'
        when p.id is null then 'not_offline'
        when (p_amount, p_currency) <> (p.amount, p.currency) then 'wrong_money'
        when known.reference = p_reference then 'done'
        when known.reference is not null then 'already_paid'
        when not late and exists (select from transfers t where t.payment_id = p.id and t.surplus < t.amount)
            then 'partly_paid'
        when late and p.state not in ('voided', 'failed') then 'payment_ending'
    end;
    if outcome is null then
        perform check_woken(late = was_late);
        outcome := write_offline_payment(p, p_reference, late);
    end if;
end $$;

/* Writes what record_offline_payment has checked. outcome: 'done', 'reference_used', 'payment_ending'. */
create or replace function write_offline_payment(p_paid payments, p_reference text, p_late boolean)
returns text language plpgsql as $$
begin
    begin
        insert into offline_payments as o (payment_id, gateway_account_id, reference, amount, currency,
            received_at, recorded_by)
        values (p_paid.id, p_paid.gateway_account_id, p_reference, p_paid.amount, p_paid.currency,
            clock_timestamp(), acting())
        on conflict (payment_id) do update
        set reference = excluded.reference, amount = excluded.amount, currency = excluded.currency,
            received_at = excluded.received_at, recorded_by = excluded.recorded_by
        where p_late and o.reference is null;
        if not found then
            return 'payment_ending';
        end if;
        insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount,
            currency, recorded_by)
        values (p_paid.event_id, p_paid.booking_id, p_paid.id, p_paid.gateway_account_id, p_reference,
            p_paid.amount, p_paid.currency, acting());
    exception when unique_violation then
        return 'reference_used';
    end;
    perform mark_for_index(p_paid.event_id, array[p_paid.booking_id]);
    perform audit('offline payment received', p_paid.event_id, jsonb_build_object('booking_id',
        p_paid.booking_id, 'payment_id', p_paid.id, 'amount', p_paid.amount, 'currency', p_paid.currency,
        'late', p_late), p_paid.organisation_id, (select buyer_id from bookings
            where event_id = p_paid.event_id and id = p_paid.booking_id),
        jsonb_build_object('reference', p_reference));
    return 'done';
end $$;

/* Enqueues the task that reads what is written, before booking and payment are locked: the saga, or, if the
   money comes late, its refund. Returns whether it comes late; null: there is nothing to record. Where the
   receipt is refused, the caller rolls back. */
create or replace function wake_for_receipt(p_event bigint, p_booking uuid) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
    due record;
begin
    select p.id, o.cancelled_at is not null or p.state in ('voided', 'failed') as late into due
    from payments p left join offline_payments o on o.payment_id = p.id
    where p.event_id = p_event and p.booking_id = p_booking and p.method = 'offline' and o.reference is null;
    if due.late then
        perform enqueue('stop_unexpected', 'payments', due.id::text, jsonb_build_object(
            'event_id', p_event, 'booking_id', p_booking, 'payment_id', due.id), p_event);
    elsif due.id is not null then
        perform wake_sagas(p_event, array[p_booking]);
    end if;
    return due.late;
end $$;
