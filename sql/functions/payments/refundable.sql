/* Returns how much of a payment is refundable: what was captured, without what was refunded, at the gateway
   or otherwise, or is disputed. */
create or replace function refundable(p_event bigint, p_payment uuid) returns bigint
language sql stable as $$
    select greatest(0, p.captured - p.refunded - coalesce((
        select sum(d.amount) from disputes d
        where d.payment_id = p.id and (is_open(d.state) or d.state = 'lost')), 0)
        - coalesce((
        select sum(r.amount) from refunds r
        where r.payment_id = p.id and r.settled_at is not null), 0))::bigint
    from payments p where p.event_id = p_event and p.id = p_payment
$$;
