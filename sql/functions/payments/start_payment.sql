/* Starts a payment of a held booking: writes the attempt, with the exact parameters for the gateway, and
   the saga's task. p_method: one of the event's payment methods, or 'offline'; p_payment_method: the
   gateway's id of the buyer's card or bank account; p_address: a hash of the buyer's network address.
   outcome: 'started', or why not: 'no_booking', 'payment_in_progress', 'not_held', 'deadline_passed',
   'suspended', or as refuse_method says. */
create or replace function start_payment(
    p_event bigint, p_booking uuid, p_buyer bigint, p_payment_method text, p_return_url text,
    p_method text default 'card', p_address bytea default null,
    out outcome text, out payment_id uuid, out booking_state text)
language plpgsql set jit = off as $$
declare
    b bookings;
    show events;
begin
    -- The task is enqueued before the booking is locked; where the payment is refused, the caller rolls back.
    perform wake_sagas(p_event, array(select id from bookings where event_id = p_event and id = p_booking
        and buyer_id = p_buyer and state = 'held' and p_method <> 'offline'));
    select * into b from bookings
    where event_id = p_event and id = p_booking and buyer_id = p_buyer for update;
    select * into show from events where id = p_event;
    booking_state := b.state;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state = 'authorising' then 'payment_in_progress'
        when b.state <> 'held' then 'not_held'
        when hold_deadline(b) < clock_timestamp() then 'deadline_passed'
        when is_suspended(b.organisation_id) then 'suspended'
        else refuse_method(show, p_method, b.total)
    end;
    if outcome is not null then
        return;
    end if;
    outcome := 'started'; payment_id := uuid7(); booking_state := 'authorising';
    if p_method = 'offline' then
        perform await_offline_payment(b, show, payment_id);
        return;
    end if;
    perform check_woken(is_under_way('advance', p_booking::text));
    insert into payments (id, event_id, booking_id, organisation_id, gateway_account_id, amount,
        currency, method, address_hash, params)
    values (payment_id, p_event, p_booking, b.organisation_id, b.gateway_account_id, b.total,
        b.currency, p_method, p_address,
        payment_params(b, payment_id, p_method, p_payment_method, p_return_url));
    update bookings set state = 'authorising', payment_id = start_payment.payment_id
    where event_id = p_event and id = p_booking and state = 'held';
end $$;

/* Returns the parameters for the gateway. A debit needs the buyer's mandate, which the shop asked for. */
create or replace function payment_params(
    p_booking bookings, p_payment uuid, p_method text, p_payment_method text, p_return_url text)
returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        case p_method when 'card' then 'statement_descriptor_suffix' else 'statement_descriptor' end,
            (select statement_descriptor from gateway_accounts where id = p_booking.gateway_account_id),
        'amount', p_booking.total,
        'currency', lower(p_booking.currency),
        'payment_method', p_payment_method,
        'payment_method_types', jsonb_build_array(p_method),
        'capture_method', case when can_be_authorised(p_method) then 'manual' else 'automatic' end,
        'confirm', true,
        'expand', jsonb_build_array('latest_charge'),
        'return_url', p_return_url,
        'mandate_data', case when p_method in ('sepa_debit', 'us_bank_account')
            then '{"customer_acceptance": {"type": "offline"}}'::jsonb end,
        'metadata', jsonb_build_object('event_id', p_booking.event_id::text,
            'booking_id', p_booking.id::text, 'payment_id', p_payment::text)))
$$;

/* Lets an offline payment wait until the organiser marks it as paid, and extends the deadline. An e-mail
   tells the buyer how to pay. There is no gateway to ask, so there is no task. */
create or replace function await_offline_payment(p_booking bookings, p_show events, p_payment uuid)
returns void language plpgsql as $$
declare
    due constant timestamptz := greatest(p_booking.deadline,
        least(clock_timestamp() + make_interval(secs => p_show.offline_seconds), p_show.starts_at));
begin
    insert into payments (id, event_id, booking_id, organisation_id, gateway_account_id, amount,
        currency, method, params, state, gateway_ref, first_sent_at, next_action)
    values (p_payment, p_booking.event_id, p_booking.id, p_booking.organisation_id,
        p_show.offline_account_id, p_booking.total, p_booking.currency, 'offline', '{}',
        'requires_action', p_payment::text, clock_timestamp(),
        jsonb_build_object('type', 'pay_offline', 'pay_offline', jsonb_build_object(
            'reference', p_booking.code, 'amount', p_booking.total, 'currency', p_booking.currency,
            'due_at', due, 'instructions', p_show.offline_instructions)));
    update bookings set state = 'authorising', payment_id = p_payment, deadline = due
    where event_id = p_booking.event_id and id = p_booking.id and state = 'held';
    perform notify_buyers(p_booking.event_id, array[p_booking.id], 'pay_offline');
end $$;
