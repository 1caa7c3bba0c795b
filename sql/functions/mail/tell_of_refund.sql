/* Writes the e-mail that tells the buyer of a refund and its seats, with the task that sends it. */
create or replace function tell_of_refund(p_event bigint, p_refund uuid, p_template text) returns void
language sql set enable_seqscan = off as $$
    with written as (
        insert into emails (event_id, booking_id, refund_id, buyer_id, template, context)
        select r.event_id, r.booking_id, r.id, b.buyer_id, p_template, jsonb_build_object(
            'amount', r.amount, 'currency', r.currency, 'returned', coalesce((
                select jsonb_agg(jsonb_build_object('zone', s.zone, 'row', s.row_label,
                    'row_label', s.printed_row,
                    'number', s.number) order by s.seat)
                from refund_items i
                join events e on e.id = i.event_id
                join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = i.seat
                where i.refund_id = r.id), '[]'))
        from refunds r join bookings b on b.event_id = r.event_id and b.id = r.booking_id
        where r.event_id = p_event and r.id = p_refund
        on conflict do nothing
        returning id, event_id
    )
    insert into outbox (actor, queue, args, event_id)
    select 'send_email', 'mail', jsonb_build_object('email_id', id), event_id from written;
$$;
