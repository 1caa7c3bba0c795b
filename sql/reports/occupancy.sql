-- Occupancy of the seats, by zone, category and area.
select p.zone,
    c.name as category,
    seat_area(s) as area,
    count(*) as seats,
    count(*) filter (where s.state = 'free') as free,
    count(*) filter (where s.state = 'held') as held,
    count(*) filter (where s.state = 'sold') as sold,
    count(*) filter (where s.state = 'blocked') as blocked,
    round(100.0 * count(*) filter (where s.state = 'sold') / count(*), 1)::float8 as sold_percent
from events e
join seats s on s.event_id = e.id
join plan_seats p on p.plan_version_id = e.plan_version_id and p.seat = s.seat
join plan_categories c on c.plan_version_id = e.plan_version_id and c.category = s.category
where e.id = :event_id
group by p.zone, c.category, c.name, area
order by min(s.seat);
