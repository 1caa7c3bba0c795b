-- Seconds between joining the queue and the decision, by the decision. Holds that were not paid are purged
-- after some days, with their entries: they are counted, and their waits are no longer known.
select e.state,
    coalesce(e.reason, '') as reason,
    count(*) as entries,
    round(extract(epoch from percentile_cont(0.50) within group (order by decided_at - joined_at)), 3)::float8 as p50_s,
    round(extract(epoch from percentile_cont(0.95) within group (order by decided_at - joined_at)), 3)::float8 as p95_s,
    round(extract(epoch from percentile_cont(0.99) within group (order by decided_at - joined_at)), 3)::float8 as p99_s,
    round(extract(epoch from max(decided_at - joined_at)), 3)::float8 as longest_s
from entries e
where e.event_id = :event_id and e.decided_at is not null
group by e.state, e.reason
union all
select 'booked', '(not paid, purged)', sum(bookings)::bigint, null, null, null, null
from purged_holds where event_id = :event_id having count(*) > 0
order by entries desc, state, reason;
