/* Settles an owed refund. p_settlement: how it was paid otherwise; null: it is tried again, as another
   refund. outcome: 'done', 'no_refund', 'not_owed', 'too_much'. */
create or replace function settle_owed(
    p_event bigint, p_scope bigint, p_booking uuid, p_refund uuid, p_settlement text,
    out outcome text, out refund_id uuid)
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
    r refunds;
    paid payments;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    if found then
        select * into r from refunds
        where event_id = p_event and booking_id = p_booking and id = p_refund for update;
        select * into paid from payments where id = r.payment_id;
    end if;
    outcome := case
        when r.id is null then 'no_refund'
        when r.state <> 'failed' or r.retried_by is not null or r.settled_at is not null
            then 'not_owed'
        when p_settlement is null and r.amount > refundable(p_event, paid.id) then 'too_much'
        else 'done' end;
    refund_id := p_refund;
    if outcome <> 'done' then
        return;
    elsif p_settlement is not null then
        update refunds set settled_at = clock_timestamp(), settlement = p_settlement
        where id = p_refund;
    else
        refund_id := (write_refunds(p_event, array[r.payment_id], array[r.amount], r.cause, r.reason))[1];
        update refunds set retried_by = settle_owed.refund_id where id = p_refund;
        update refund_items i set refund_id = settle_owed.refund_id where i.refund_id = p_refund;
    end if;
    perform resolve_owed(p_event, p_refund, coalesce(p_settlement, 'tried again'));
    perform audit(case when p_settlement is null then 'refund tried again' else 'refund settled' end, p_event,
        jsonb_build_object('booking_id', p_booking, 'refund_id', p_refund, 'new_refund_id',
            nullif(settle_owed.refund_id, p_refund), 'amount', r.amount, 'currency', r.currency),
        b.organisation_id, b.buyer_id, jsonb_build_object('settlement', p_settlement));
end $$;
