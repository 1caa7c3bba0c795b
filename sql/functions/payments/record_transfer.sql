/* Records money that came for a booking that is paid offline, of any amount. When all of it has come, the booking is
   marked as paid and its saga wakes; before that the buyer is asked for the rest. What is more, or comes too late, is
   the transfer's surplus, and the buyer is told.

   p_scope: the caller's organisation; null: all organisations. outcome: 'done', or why not: 'no_booking',
   'not_offline', 'wrong_currency', 'reference_used' (by another transfer), 'payment_ending' (the saga is just giving
   the payment up). The same transfer again changes nothing. */
create or replace function record_transfer(
    p_event bigint, p_scope bigint, p_booking uuid, p_reference text, p_amount bigint, p_currency text,
    out outcome text, out transfer_id uuid)
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
    p payments;
    same transfers;
    given_up boolean;
begin
    perform wake_for_transfer(p_event, p_booking);
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    select * into p from payments
    where event_id = p_event and booking_id = p_booking and method = 'offline'
    order by created_at desc limit 1 for update;
    select cancelled_at is not null into given_up from offline_payments where payment_id = p.id;
    select * into same from transfers
    where gateway_account_id = p.gateway_account_id and reference = p_reference;
    transfer_id := same.id;
    outcome := case
        when b.id is null then 'no_booking'
        when p.id is null then 'not_offline'
        when p_currency <> p.currency then 'wrong_currency'
        when same.payment_id = p.id and same.amount = p_amount then 'done'
        when same.id is not null then 'reference_used'
        when given_up and p.state not in ('voided', 'failed') then 'payment_ending'
    end;
    if outcome is null then
        transfer_id := write_transfer(p, p_reference, p_amount,
            p.state = 'requires_action' and given_up is null);
        outcome := case when transfer_id is null then 'reference_used' else 'done' end;
    end if;
end $$;

/* Writes a transfer, and what follows from it. p_takes: the payment still takes money. Null: another transfer has the
   reference, since a moment ago. */
create or replace function write_transfer(p_for payments, p_reference text, p_amount bigint, p_takes boolean)
returns uuid language plpgsql as $$
declare
    came constant bigint := coalesce((
        select sum(amount - surplus) from transfers where payment_id = p_for.id), 0);
    taken constant bigint := case when p_takes then least(p_amount, p_for.amount - came) else 0 end;
    written uuid;
begin
    insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount, currency,
        surplus, recorded_by)
    values (p_for.event_id, p_for.booking_id, p_for.id, p_for.gateway_account_id, p_reference, p_amount,
        p_for.currency, p_amount - taken, acting())
    on conflict do nothing returning id into written;
    if written is null then
        return null;
    end if;
    if p_takes then
        perform note_received(p_for, p_reference, came + taken);
    end if;
    if taken < p_amount then
        perform tell_of_transfer(p_for.event_id, p_for.booking_id, 'overpaid', jsonb_build_object(
            'amount', p_amount, 'surplus', p_amount - taken, 'currency', p_for.currency));
    end if;
    perform mark_for_index(p_for.event_id, array[p_for.booking_id]);
    perform audit('transfer received', p_for.event_id, jsonb_build_object('booking_id', p_for.booking_id,
        'transfer_id', written, 'amount', p_amount, 'currency', p_for.currency, 'surplus', p_amount - taken),
        p_for.organisation_id, (select buyer_id from bookings
            where event_id = p_for.event_id and id = p_for.booking_id),
        jsonb_build_object('reference', p_reference));
    return written;
end $$;

/* Marks a payment as paid when all of it was received; else asks the buyer for the rest. */
create or replace function note_received(p_for payments, p_reference text, p_received bigint) returns void
language plpgsql as $$
begin
    if p_received >= p_for.amount then
        perform check_woken(is_under_way('advance', p_for.booking_id::text));
        insert into offline_payments (payment_id, gateway_account_id, reference, amount, currency, received_at,
            recorded_by)
        values (p_for.id, p_for.gateway_account_id, p_reference, p_for.amount, p_for.currency, clock_timestamp(),
            acting());
        return;
    end if;
    update payments set next_action = jsonb_set(jsonb_set(next_action, '{pay_offline,amount}',
        to_jsonb(amount - p_received)), '{pay_offline,received}', to_jsonb(p_received))
    where id = p_for.id and next_action ? 'pay_offline';
    perform tell_of_transfer(p_for.event_id, p_for.booking_id, 'partly_paid', jsonb_build_object(
        'received', p_received, 'missing', p_for.amount - p_received, 'currency', p_for.currency));
end $$;

/* Enqueues the saga of a booking that waits for money offline, before booking and payment are locked. */
create or replace function wake_for_transfer(p_event bigint, p_booking uuid) returns void
language sql set enable_seqscan = off as $$
    select wake_sagas(p_event, array[p_booking])
    where exists (select from payments where event_id = p_event and booking_id = p_booking
        and method = 'offline' and state = 'requires_action')
$$;
