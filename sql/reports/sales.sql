-- What was sold, by hour of the event's own time zone and by category, without what was given back.
-- Amounts are in minor units of the currency and include fees and tax.
select to_char(b.confirmed_at at time zone e.time_zone, 'YYYY-MM-DD HH24:00') as hour,
    c.name as category,
    count(distinct b.id) as bookings,
    count(*) as seats,
    sum(i.price + i.fee)::bigint as amount,
    i.currency::text as currency
from events e
join bookings b on b.event_id = e.id and b.state in ('confirmed', 'frozen')
join booking_items i on i.event_id = b.event_id and i.booking_id = b.id and i.returned_at is null
join event_categories c on c.event_id = i.event_id and c.category = i.category
where e.id = :event_id
group by 1, c.category, c.name, i.currency
order by 1, c.category;
