/* Writes down what became of a transfer's surplus, and tells the buyer. p_decision: 'refunded' or 'kept'; p_how: how
   it was paid back, or why it is kept. outcome: 'done', or why not: 'no_transfer', 'no_surplus', 'surplus_decided' (in another
   way). The same decision again changes nothing. */
create or replace function decide_surplus(
    p_event bigint, p_scope bigint, p_transfer uuid, p_decision text, p_how text)
returns text language plpgsql set enable_seqscan = off as $$
declare
    t transfers;
    b bookings;
begin
    select x.* into t from transfers x
    where x.event_id = p_event and x.id = p_transfer and (p_scope is null
        or p_scope = (select organisation_id from events where id = p_event))
    for update;
    if t.id is null then
        return 'no_transfer';
    elsif t.surplus = 0 then
        return 'no_surplus';
    elsif t.decision is not null then
        return case when t.decision = p_decision then 'done' else 'surplus_decided' end;
    end if;
    update transfers set decision = p_decision, how = p_how, decided_at = clock_timestamp(), decided_by = acting()
    where event_id = p_event and id = p_transfer and decision is null;
    select * into b from bookings where event_id = p_event and id = t.booking_id;
    perform tell_of_transfer(p_event, t.booking_id, 'surplus_' || p_decision, jsonb_build_object(
        'surplus', t.surplus, 'currency', t.currency, 'how', p_how));
    perform audit('surplus ' || p_decision, p_event, jsonb_build_object('booking_id', t.booking_id,
        'transfer_id', t.id, 'amount', t.surplus, 'currency', t.currency), b.organisation_id, b.buyer_id,
        jsonb_build_object('how', p_how));
    return 'done';
end $$;
