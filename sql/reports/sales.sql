-- Sales by hour of the event's time zone and by category, without returned tickets. The fees of whole
-- bookings have their own line. Amounts are in minor units, and contain fees and tax.
select to_char(b.confirmed_at at time zone e.time_zone, 'YYYY-MM-DD HH24:00') as hour,
    coalesce(c.name, '(booking fees)') as category,
    count(distinct b.id) as bookings,
    count(i.seat) as seats,
    sum(i.amount)::bigint as amount,
    b.currency::text as currency
from events e
join bookings b on b.event_id = e.id and b.state in ('confirmed', 'frozen')
cross join lateral (
    select seat, category, price + fee as amount from booking_items
    where event_id = b.event_id and booking_id = b.id and returned_at is null
    union all
    select null, null, b.fee where b.fee > 0) i
left join event_categories c on c.event_id = b.event_id and c.category = i.category
where e.id = :event_id
group by 1, c.category, c.name, b.currency
order by 1, c.category;
