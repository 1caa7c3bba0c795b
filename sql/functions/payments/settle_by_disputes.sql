/* Settles owed refunds of a payment by lost disputes, because the buyer's bank has taken the money:
   otherwise it would be paid twice. If a dispute took less than is owed, a person decides. The caller has
   locked the booking. */
create or replace function settle_by_disputes(p_event bigint, p_payment uuid) returns void
language plpgsql set enable_seqscan = off as $$
declare
    owed record;
begin
    for owed in
        select r.id, d.gateway_ref from refunds r
        join lateral (select min(gateway_ref) as gateway_ref, sum(amount) as amount from disputes
                      where payment_id = p_payment and state = 'lost') d on d.amount >= r.amount
        where r.payment_id = p_payment and r.state = 'failed' and r.retried_by is null
            and r.settled_at is null and r.amount > refundable(p_event, p_payment)
            and not has_open_dispute(p_event, p_payment)
        order by r.id for update of r
    loop
        update refunds set settled_at = clock_timestamp(),
            settlement = 'taken by the buyer''s bank: dispute ' || owed.gateway_ref
        where id = owed.id;
        perform resolve_owed(p_event, owed.id, 'taken by the buyer''s bank');
    end loop;
end $$;
