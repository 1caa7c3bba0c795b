/* Records the state of a dispute and changes its booking: frozen while a dispute is open; cancelled, with
   void tickets and released seats, when one is lost; otherwise confirmed again. The buyer is told.
   outcome: 'done', or 'not_yet': the booking is being confirmed, and nothing was changed. */
create or replace function record_dispute(
    p_event bigint, p_payment uuid, p_id text, p_state text, p_reason text, p_amount bigint,
    p_currency text, p_respond_by timestamptz, out outcome text, out booking_state text)
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    b bookings;
    open boolean;
    lost boolean;
    places integer[];
begin
    perform wake_cancellation(p_event);
    select k.* into b from payments p
    join bookings k on k.event_id = p.event_id and k.id = p.booking_id
    where p.event_id = p_event and p.id = p_payment for update of k;
    outcome := 'done'; booking_state := b.state;
    if booking_is_open(b.state) and b.payment_id = p_payment then
        outcome := 'not_yet';
        return;
    end if;
    insert into disputes (gateway_ref, payment_id, event_id, booking_id, state, reason, amount, currency,
        respond_by)
    values (p_id, p_payment, b.event_id, b.id, p_state, p_reason, p_amount, p_currency, p_respond_by)
    on conflict (gateway_ref) do update
        set state = excluded.state, reason = excluded.reason, amount = excluded.amount,
            respond_by = excluded.respond_by, updated_at = clock_timestamp();
    select bool_or(is_open(d.state)), bool_or(d.state = 'lost') into open, lost
    from disputes d where d.event_id = b.event_id and d.booking_id = b.id and d.payment_id = b.payment_id;
    if open and b.state = 'confirmed' then
        perform freeze_booking(b.event_id, b.id);
    elsif not open and lost and booking_is_sold(b.state) then
        places := array(select seat from booking_items where event_id = b.event_id
                            and booking_id = b.id and returned_at is null);
        perform return_seats(b.event_id, array_fill(b.id, array[cardinality(places)]), places, true,
            'dispute_lost');
        perform keep_the_rest(p_event, array[b.payment_id]);
        perform notify_buyers(b.event_id, array[b.id], 'dispute_lost');
    elsif not open and b.state = 'frozen' and not has_fraud_warning(p_event, p_payment) then
        perform unfreeze_booking(b.event_id, b.id);
    end if;
    if lost then
        perform settle_by_disputes(p_event, p_payment);
    end if;
    select state into booking_state from bookings where event_id = b.event_id and id = b.id;
end $$;
