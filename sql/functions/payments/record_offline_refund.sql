/* Marks a refund of an offline payment as paid, for an organiser. outcome: 'done', 'no_refund',
   'not_offline', 'not_pending'. */
create or replace function record_offline_refund(
    p_event bigint, p_scope bigint, p_booking uuid, p_refund uuid, p_how text)
returns text language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
    r refunds;
    paid_by text;
begin
    -- The task comes before booking and refund; where nothing is recorded, the caller rolls back.
    perform enqueue('refund', 'payments', p_refund::text, jsonb_build_object('event_id', p_event,
        'booking_id', p_booking, 'refund_id', p_refund), p_event)
    from refunds where event_id = p_event and booking_id = p_booking and id = p_refund and state = 'pending';
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    if found then
        select * into r from refunds
        where event_id = p_event and booking_id = p_booking and id = p_refund for update;
        select method into paid_by from payments where id = r.payment_id;
    end if;
    if r.id is null then
        return 'no_refund';
    elsif paid_by <> 'offline' then
        return 'not_offline';
    elsif exists (select from offline_refunds where refund_id = p_refund) then
        return 'done';
    elsif r.state <> 'pending' then
        return 'not_pending';
    end if;
    insert into offline_refunds (refund_id, how, recorded_by) values (p_refund, p_how, acting());
    perform audit('offline refund paid', p_event, jsonb_build_object('booking_id', p_booking,
        'refund_id', p_refund, 'amount', r.amount, 'currency', r.currency), b.organisation_id, b.buyer_id,
        jsonb_build_object('how', p_how));
    return 'done';
end $$;
