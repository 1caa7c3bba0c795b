-- draw_chart --
-- All seats of a plan version as the text of a JSON document. Postgres writes it, because it is long.
SELECT json_build_object('seats', json_agg(json_build_object('guid', guid, 'category', category,
    'zone', zone, 'row', row_label, 'number', number, 'x', x, 'y', y, 'accessible', accessible,
    'companion', companion, 'restricted', restricted, 'row_label', printed_row) ORDER BY seat))::text
    AS document
FROM plan_seats WHERE plan_version_id = %(plan_version_id)s

-- count_seats --
-- Seats of each category: free for all, kept for accessible entries (of these so many for wheelchairs),
-- held, sold, blocked or allocated; and the seats that no buyer can get now.
SELECT json_build_object(
    'as_of', clock_timestamp(),
    'plan_version_id', e.plan_version_id,
    'categories', (
        SELECT json_agg(c ORDER BY c.category) FROM (
            SELECT category,
                count(*) FILTER (WHERE seat_is_free(state, allocation) AND NOT kept) AS free,
                count(*) FILTER (WHERE seat_is_free(state, allocation) AND kept) AS kept,
                count(*) FILTER (WHERE seat_is_free(state, allocation) AND accessible) AS accessible,
                count(*) FILTER (WHERE state = 'held') AS held,
                count(*) FILTER (WHERE state = 'sold') AS sold,
                count(*) FILTER (WHERE state = 'blocked' OR state = 'free' AND allocation IS NOT NULL)
                    AS blocked
            FROM seats WHERE event_id = e.id GROUP BY category) c),
    'taken', (
        SELECT coalesce(json_agg(p.guid ORDER BY s.seat), '[]')
        FROM seats s
        JOIN plan_seats p ON p.plan_version_id = e.plan_version_id AND p.seat = s.seat
        WHERE s.event_id = e.id AND NOT seat_is_free(s.state, s.allocation)))::text AS document
FROM events e WHERE e.id = %(event_id)s AND e.state <> 'draft'

-- list_queues --
-- The state of each queue. Up to 1,000 waiting entries are counted. In a longer queue the places are
-- computed from the numbers given out and the leavers, at the same cost for every length. Up to 5,000
-- standby entries are counted.
SELECT l.event_id, d.now_serving, clock_timestamp() AS as_of, n.last_number, w.counted, s.standby,
    least(e.hold_seconds, e.claim_seconds) AS turn_seconds,
    list_leavers(l.event_id, d.now_serving, n.last_number) AS leavers,
    CASE WHEN e.state <> 'on_sale' OR clock_timestamp() >= e.off_sale_at THEN 'over'
        WHEN clock_timestamp() < e.on_sale_at THEN 'soon'
        WHEN EXISTS (SELECT FROM seats s WHERE s.event_id = e.id
                     AND seat_is_free(s.state, s.allocation) AND NOT s.kept)
            THEN CASE WHEN l.paused THEN 'paused' ELSE 'open' END
        WHEN EXISTS (SELECT FROM bookings b WHERE b.event_id = e.id AND booking_is_open(b.state))
            THEN 'all_held'
        ELSE 'sold_out' END AS sale,
    EXISTS (SELECT FROM seats s WHERE s.event_id = e.id AND s.accessible
            AND seat_is_free(s.state, s.allocation)) AS accessible_free
FROM lanes l
JOIN lane_state d ON d.event_id = l.event_id
JOIN events e ON e.id = l.event_id
CROSS JOIN LATERAL (SELECT coalesce(pg_sequence_last_value(
    to_regclass(format('entry_numbers_%%s', l.event_id))), 0) AS last_number) n
CROSS JOIN LATERAL (
    SELECT count(*) AS counted FROM (
        SELECT FROM entries q
        WHERE q.event_id = l.event_id AND q.state = 'waiting' AND q.number >= d.low_water
        LIMIT 1001) x) w
CROSS JOIN LATERAL (
    SELECT count(*) AS standby FROM (
        SELECT FROM entries q WHERE q.event_id = l.event_id AND q.state = 'standby'
        LIMIT 5000) x) s
WHERE l.event_id = ANY (%(event_ids)s)
