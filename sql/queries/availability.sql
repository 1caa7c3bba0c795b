-- get_plan_version --
-- Which plan an event that was opened is pinned to.
SELECT plan_version_id FROM events WHERE id = %(event_id)s AND state <> 'draft'

-- draw_chart --
-- All seats of a plan version, as the text of a JSON document: made here, since it is long.
SELECT json_build_object('seats', json_agg(json_build_object('guid', guid, 'category', category,
    'zone', zone, 'row', row_label, 'number', number, 'x', x, 'y', y, 'accessible', accessible,
    'companion', companion, 'restricted', restricted) ORDER BY seat))::text AS document
FROM plan_seats WHERE plan_version_id = %(plan_version_id)s

-- count_seats --
-- What is free, and the seats that are not.
SELECT json_build_object(
    'as_of', clock_timestamp(),
    'categories', (
        SELECT json_agg(c ORDER BY c.category) FROM (
            SELECT category, count(*) FILTER (WHERE state = 'free') AS free,
                count(*) FILTER (WHERE state = 'held') AS held,
                count(*) FILTER (WHERE state = 'sold') AS sold
            FROM seats WHERE event_id = e.id GROUP BY category) c),
    'taken', (
        SELECT coalesce(json_agg(p.guid ORDER BY s.seat), '[]')
        FROM seats s
        JOIN plan_seats p ON p.plan_version_id = e.plan_version_id AND p.seat = s.seat
        WHERE s.event_id = e.id AND s.state <> 'free'))::text AS document
FROM events e WHERE e.id = %(event_id)s AND e.state <> 'draft'

-- get_queue --
-- Where the queue is. Up to 10,000 people are counted; above that the numbers between the last one
-- given out and the one being served are an upper bound that costs nothing.
SELECT l.now_serving, clock_timestamp() AS as_of, w.counted,
    greatest(0, coalesce(pg_sequence_last_value(to_regclass(format('entry_numbers_%%s', l.event_id))),
        0) - l.now_serving) AS at_most
FROM lanes l
CROSS JOIN LATERAL (
    SELECT count(*) AS counted FROM (
        SELECT FROM entries e
        WHERE e.event_id = l.event_id AND e.state = 'waiting' AND e.number >= l.low_water
        LIMIT 10001) x) w
WHERE l.event_id = %(event_id)s
