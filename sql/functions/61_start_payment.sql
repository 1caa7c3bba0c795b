/* The buyer, present, pays for a booking: writes the attempt with the exact parameters that the
   gateway will get, and the task that carries it on. outcome: 'started', or why not: 'no_booking',
   'payment_in_progress', 'not_held', 'deadline_passed'. */
create or replace function start_payment(
    p_event bigint, p_booking uuid, p_buyer bigint, p_method text, p_return_url text,
    out outcome text, out payment_id uuid, out booking_state text)
language plpgsql set jit = off as $$
declare
    b bookings;
    descriptor text;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and buyer_id = p_buyer for update;
    booking_state := b.state;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state = 'authorising' then 'payment_in_progress'
        when b.state <> 'held' then 'not_held'
        when b.deadline + least(interval '30 min', outage_overlap(b.gateway_account_id, b.created_at))
            < clock_timestamp() then 'deadline_passed'
    end;
    if outcome is not null then
        return;
    end if;
    outcome := 'started'; payment_id := uuid7(); booking_state := 'authorising';
    select statement_descriptor into descriptor from gateway_accounts where id = b.gateway_account_id;
    insert into payments (id, event_id, booking_id, organisation_id, gateway_account_id, amount,
        currency, params)
    values (payment_id, p_event, p_booking, b.organisation_id, b.gateway_account_id, b.total,
        b.currency, jsonb_strip_nulls(jsonb_build_object(
            'amount', b.total,
            'currency', lower(b.currency),
            'payment_method', p_method,
            'payment_method_types', jsonb_build_array('card'),
            'capture_method', 'manual',
            'confirm', true,
            'return_url', p_return_url,
            'statement_descriptor_suffix', descriptor,
            'metadata', jsonb_build_object('event_id', p_event::text, 'booking_id', p_booking::text,
                'payment_id', payment_id::text))));
    update bookings set state = 'authorising', payment_id = start_payment.payment_id
    where event_id = p_event and id = p_booking and state = 'held';
    perform enqueue('advance', 'bookings', p_booking::text,
        jsonb_build_object('event_id', p_event, 'booking_id', p_booking), p_event);
end $$;
