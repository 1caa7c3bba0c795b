-- Money by currency, in minor units. gross: what confirmed bookings cost when they were sold, those
-- cancelled since included; of it fees, and the tax contained in both. captured: what the gateway
-- took. refunds: given back, or on the way. net: what stays.
with sold as (
    select i.currency, count(distinct b.id) as bookings, count(*) as seats,
        sum(i.price + i.fee) as gross, sum(i.fee) as fees, sum(i.tax) as tax
    from bookings b
    join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
    where b.event_id = :event_id and b.confirmed_at is not null
    group by i.currency
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
