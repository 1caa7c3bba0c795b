-- Money by currency, in minor units. gross: the price of confirmed bookings when they were sold, including
-- those cancelled since. Parts of it: the fees of tickets and of bookings, and the tax that all contain.
-- captured: by the gateway. refunds: paid back, or on the way. net: the rest.
with sold as (
    select b.currency, count(*) as bookings, sum(b.quantity) as seats, sum(b.total) as gross,
        sum(b.fee + i.fee) as fees, sum(b.fee_tax + i.tax) as tax
    from bookings b
    cross join lateral (
        select sum(fee) as fee, sum(tax) as tax from booking_items
        where event_id = b.event_id and booking_id = b.id) i
    where b.event_id = :event_id and b.confirmed_at is not null
    group by b.currency
), taken as (
    select currency, sum(captured) as captured from payments
    where event_id = :event_id group by currency
), given_back as (
    select currency, sum(amount) as refunds from refunds
    where event_id = :event_id and state in ('pending', 'succeeded') group by currency
)
select currency::text as currency,
    coalesce(bookings, 0)::bigint as bookings,
    coalesce(seats, 0)::bigint as seats,
    coalesce(gross, 0)::bigint as gross,
    coalesce(fees, 0)::bigint as fees,
    coalesce(tax, 0)::bigint as tax,
    coalesce(captured, 0)::bigint as captured,
    coalesce(refunds, 0)::bigint as refunds,
    (coalesce(captured, 0) - coalesce(refunds, 0))::bigint as net
from sold full join taken using (currency) full join given_back using (currency)
order by currency;
