-- Sales by hour of the event's time zone, by category, price type and area: the hours of bookings, with their
-- offset, since one hour comes twice when clocks go back. Amounts are in minor units, and contain fees and tax. captured: what
-- was paid. refunds: what went back of it, whenever, with its tickets or alone. amount: the rest; all amounts
-- together are the total of the revenue report. seats: those whose tickets were not returned. In
-- brackets are lines that belong to no category: the fees of bookings, amounts that were returned without a
-- ticket, disputes that were lost, and payments to which no booking has a claim.
with paid as (
    select p.id, p.booking_id, p.captured, coalesce(p.captured_currency, p.currency) as currency,
        b.payment_id = p.id and b.confirmed_at is not null as expected,
        coalesce(b.confirmed_at, p.created_at) as at
    from payments p join bookings b on b.event_id = p.event_id and b.id = p.booking_id
    where p.event_id = :event_id and p.captured > 0
), sold as (
    -- Free bookings have no payment.
    select b.id, b.payment_id, b.confirmed_at as at, b.currency, b.fee, b.state
    from bookings b
    where b.event_id = :event_id and b.confirmed_at is not null
), back as (
    select p.id as payment_id, r.id as refund_id, r.amount, p.expected, p.at, p.currency,
        (select sum(i.amount) from refund_items i where i.refund_id = r.id) as of_seats
    from paid p join refunds r on r.payment_id = p.id
    where r.state <> 'failed' or r.settled_at is not null
), lines as (
    select s.at, i.category, i.price_type, i.area, null as name, s.id as booking_id, i.seat,
        case when i.returned_at is null then i.seat end as kept_seat, i.price + i.fee as captured,
        0 as refunds, s.currency
    from sold s join booking_items i on i.event_id = :event_id and i.booking_id = s.id
    union all
    select at, null, null, null, '(booking fees)', case when booking_is_sold(state) then id end, null, null, fee, 0,
        currency
    from sold where fee > 0
    union all
    select k.at, b.category, b.price_type, b.area, null, null, null, null, 0, i.amount, k.currency
    from back k
    join refund_items i on i.refund_id = k.refund_id
    join booking_items b on b.event_id = i.event_id and b.booking_id = i.booking_id and b.seat = i.seat
    where k.expected
    union all
    select at, null, null, null, case when of_seats is null then '(amounts returned)' else '(booking fees)' end, null,
        null, null, 0, amount - coalesce(of_seats, 0), currency
    from back where expected and amount > coalesce(of_seats, 0)
    union all
    select p.at, null, null, null, '(disputes lost)', null, null, null, 0, d.amount, p.currency
    from paid p join disputes d on d.payment_id = p.id and d.state = 'lost'
    where p.expected
    union all
    select at, null, null, null, '(unexpected payments)', null, null, null, captured, 0, currency
    from paid where not expected
    union all
    select at, null, null, null, '(unexpected payments)', null, null, null, 0, amount, currency
    from back where not expected
)
select to_char(l.local, 'YYYY-MM-DD HH24:00') || case when l.local < l.utc then '-' else '+' end
        || to_char(greatest(l.local - l.utc, l.utc - l.local), 'HH24:MI') as hour,
    coalesce(l.name, c.name) as category,
    l.price_type,
    l.area,
    count(distinct l.booking_id) filter (where l.kept_seat is not null or l.name is not null) as bookings,
    count(l.kept_seat) as seats,
    sum(l.captured)::bigint as captured,
    sum(l.refunds)::bigint as refunds,
    (sum(l.captured) - sum(l.refunds))::bigint as amount,
    l.currency::text as currency
from events e
cross join lateral (
    select date_trunc('hour', at, e.time_zone) at time zone e.time_zone as local,
        date_trunc('hour', at, e.time_zone) at time zone 'UTC' as utc, lines.*
    from lines) l
left join event_categories c on c.event_id = e.id and c.category = l.category
where e.id = :event_id
group by l.local, l.utc, l.category, l.price_type, l.area, c.name, l.name, l.currency
order by l.utc, l.category, l.price_type, l.area, l.name;
