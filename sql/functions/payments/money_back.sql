/* Returns how much of a payment has gone back for good, or is on its way: refunds that have not failed, or
   were paid otherwise, and disputes that were lost. */
create or replace function money_back(p payments) returns bigint language sql stable as $$
    select (p.refunded
        + coalesce((select sum(r.amount) from refunds r
                    where r.payment_id = p.id and r.settled_at is not null), 0)
        + coalesce((select sum(d.amount) from disputes d
                    where d.payment_id = p.id and d.state = 'lost'), 0))::bigint
$$;
