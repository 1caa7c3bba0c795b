/* Wakes the sagas of bookings of one event. The first statement of its transaction: see enqueue_all. A saga
   that finds nothing to do ends. */
create or replace function wake_sagas(p_event bigint, p_bookings uuid[]) returns void language sql as $$
    select enqueue_all('payments', array_agg('advance'::text), array_agg(id::text),
        array_agg(jsonb_build_object('event_id', p_event, 'booking_id', id)),
        array_agg(p_event))
    from unnest(p_bookings) id having count(*) > 0
$$;
