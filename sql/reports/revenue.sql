-- Money by currency, in its smallest unit. gross: what confirmed bookings cost when they were sold, those
-- cancelled since included; of it fees, those of tickets and those of bookings, and the tax contained in
-- all. captured: what the gateway took. refunds: given back, or on the way. net: what stays.
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
