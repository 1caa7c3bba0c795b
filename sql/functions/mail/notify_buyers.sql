/* Writes an e-mail for each booking, with the task that sends it; at most one per booking and template. Its
   trace is that of the transaction or, when a transaction is about bookings of several traces, that of the
   booking's saga. */
create or replace function notify_buyers(p_event bigint, p_bookings uuid[], p_template text)
returns void language sql set enable_seqscan = off as $$
    with written as (
        insert into emails (event_id, booking_id, buyer_id, template)
        select b.event_id, b.id, b.buyer_id, p_template from bookings b
        where b.event_id = p_event and b.id = any (p_bookings)
        on conflict do nothing
        returning id, event_id, booking_id
    )
    insert into outbox (actor, queue, args, event_id, trace)
    select 'send_email', 'mail', jsonb_build_object('email_id', w.id), w.event_id,
        coalesce(nullif(current_setting('usher.trace', true), ''), (
            select o.trace from outbox o where o.actor = 'advance' and o.key = w.booking_id::text))
    from written w;
$$;
