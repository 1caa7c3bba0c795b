/* Marks the rest of payments as kept, after a decision about a booking that has ended: the money that is
   neither refunded, owed nor lost in a dispute. */
create or replace function keep_the_rest(p_event bigint, p_payments uuid[]) returns void
language sql set enable_seqscan = off as $$
    update payments p
    set kept = greatest(0, p.captured - p.refunded - coalesce((
        select sum(r.amount) from refunds r
        where r.payment_id = p.id and r.state = 'failed' and r.retried_by is null), 0)
        - coalesce((select sum(d.amount) from disputes d
                    where d.payment_id = p.id and d.state = 'lost'), 0))
    from bookings b
    where p.id = any (p_payments) and b.event_id = p_event and b.id = p.booking_id
        and booking_has_ended(b.state);
$$;
