/* Unfreezes a booking: its tickets are valid again. If the event was cancelled meanwhile, the task that
   cancels it goes on: the caller has woken it before it locked the booking (wake_cancellation). */
create or replace function unfreeze_booking(p_event bigint, p_booking uuid) returns void
language plpgsql as $$
begin
    update bookings set state = 'confirmed'
    where event_id = p_event and id = p_booking and state = 'frozen';
    if exists (select from event_cancellations where event_id = p_event) then
        perform check_woken(is_under_way('cancel_event', p_event::text));
    else
        perform notify_buyers(p_event, array[p_booking], 'unfrozen');
    end if;
end $$;
