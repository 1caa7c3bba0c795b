/* Wakes the task that cancels an event, if it is cancelled: a booking may become one for it to cancel. The
   first statement of its transaction, like each enqueue with a key. */
create or replace function wake_cancellation(p_event bigint) returns void language sql as $$
    select enqueue('cancel_event', 'payments', event_id::text, jsonb_build_object('event_id', event_id), event_id)
    from event_cancellations where event_id = p_event
$$;
