/* Unfreezes a booking: its tickets are valid again. If the event was cancelled meanwhile, the task that
   cancels it is woken. */
create or replace function unfreeze_booking(p_event bigint, p_booking uuid) returns void
language plpgsql as $$
begin
    update bookings set state = 'confirmed'
    where event_id = p_event and id = p_booking and state = 'frozen';
    perform enqueue('cancel_event', 'payments', event_id::text,
        jsonb_build_object('event_id', event_id), event_id)
    from event_cancellations where event_id = p_event;
    if not found then
        perform notify_buyers(p_event, array[p_booking], 'unfrozen');
    end if;
end $$;
