-- Money by currency, in minor units. gross: the price of confirmed bookings when they were sold, including
-- those cancelled since; fees: the part of it that is fees of tickets and of bookings. captured: by the
-- gateway, or received offline. refunds: paid back, or on the way. disputes: lost ones. total: the rest, which
-- is what the organisation has: net, and the tax that it contains. unassigned: beside the total, money that came by
-- transfer and is no booking's price: parts of what is not paid in full yet, and surplus that is kept or undecided.
with sold as (
    select b.currency, count(*) as bookings, sum(b.quantity) as seats, sum(b.total) as gross,
        sum(b.fee + i.fee) as fees,
        sum(case
            when p.back is null or p.back = 0 then b.fee_tax + i.tax
            when p.back >= p.captured then 0
            else tax_left(b.event_id, b.id) end) as tax
    from bookings b
    cross join lateral (
        select sum(fee) as fee, sum(tax) as tax from booking_items
        where event_id = b.event_id and booking_id = b.id) i
    left join lateral (
        select captured, money_back_of(p.event_id, p.id) as back from payments p where p.id = b.payment_id) p on true
    where b.event_id = :event_id and b.confirmed_at is not null
    group by b.currency
), taken as (
    select coalesce(captured_currency, currency) as currency, sum(captured) as captured,
        sum(money_back_of(p.event_id, p.id)) as back, sum(coalesce((
            select sum(d.amount) from disputes d
            where d.payment_id = p.id and d.state = 'lost'), 0)) as disputes
    from payments p where event_id = :event_id group by 1
), beside as (
    select t.currency, sum(case when t.decision = 'refunded' then 0 else t.surplus end
        + case when p.captured = 0 then t.amount - t.surplus else 0 end) as unassigned
    from transfers t join payments p on p.id = t.payment_id
    where t.event_id = :event_id group by 1
)
select currency::text as currency,
    coalesce(bookings, 0)::bigint as bookings,
    coalesce(seats, 0)::bigint as seats,
    coalesce(gross, 0)::bigint as gross,
    coalesce(fees, 0)::bigint as fees,
    coalesce(captured, 0)::bigint as captured,
    (coalesce(back, 0) - coalesce(disputes, 0))::bigint as refunds,
    coalesce(disputes, 0)::bigint as disputes,
    (coalesce(captured, 0) - coalesce(back, 0))::bigint as total,
    coalesce(tax, 0)::bigint as tax,
    (coalesce(captured, 0) - coalesce(back, 0) - coalesce(tax, 0))::bigint as net,
    coalesce(unassigned, 0)::bigint as unassigned
from sold full join taken using (currency) left join beside using (currency)
order by currency;
