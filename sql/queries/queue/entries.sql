-- join_queue --
-- Joins a queue in one round trip.
SELECT outcome, id, number, state, joined_at, total
FROM join_queue(%(event_id)s, %(buyer_id)s, %(key)s, %(sha256)s, %(quantity)s, %(category)s,
    %(together)s, %(accessible)s, %(seats)s::text[], %(accept_terms)s,
    %(admission)s, %(expected_total)s)

-- join_by_chart --
-- Joins a queue with seats of the chart of a plan version, which has to be the event's.
SELECT outcome, id, number, state, joined_at, total
FROM join_checked(%(event_id)s, %(buyer_id)s, %(key)s, %(sha256)s, %(quantity)s, %(category)s,
    %(together)s, %(accessible)s,
    coalesce(%(seats)s::text[], name_seats(%(plan_version_id)s, %(chart_seats)s)),
    %(accept_terms)s, %(admission)s, %(expected_total)s, %(plan_version_id)s)

-- get_entry --
-- A buyer's own entry; ahead: at most so many entries are before it; total: what its wish costs now, if a
-- total is expected. An entry that a queue ending tells is shown so before its row is written.
SELECT e.id, e.number, e.booking_id, e.pass_state, e.pass_until,
    CASE WHEN t.told THEN 'unavailable' ELSE e.state END AS state,
    CASE WHEN t.told THEN q.reason ELSE e.reason END AS reason, e.quantity, e.category, e.together,
    e.accessible, e.admission, e.joined_at, e.decided_at,
    CASE WHEN e.state = 'waiting' THEN greatest(e.number - l.now_serving - 1, 0) END AS ahead,
    CASE WHEN e.seats IS NOT NULL THEN (
        SELECT array_agg(p.guid ORDER BY p.seat)
        FROM events v JOIN plan_seats p ON p.plan_version_id = v.plan_version_id
        WHERE v.id = e.event_id AND p.seat = ANY (e.seats)) END AS seats,
    e.expected_total, CASE WHEN e.expected_total IS NOT NULL THEN (
        SELECT wish_total(v, e.quantity, e.category, e.seats) FROM events v
        WHERE v.id = e.event_id) END AS total
FROM entries e
LEFT JOIN lane_state l ON l.event_id = e.event_id
LEFT JOIN queue_endings q ON q.event_id = e.event_id
CROSS JOIN LATERAL (SELECT ending_tells(q, e) AS told) t
WHERE e.event_id = %(event_id)s AND e.id = %(entry_id)s AND e.buyer_id = %(buyer_id)s

-- expect_total --
-- Changes the total that a buyer's entry expects, if its wish costs that now and is not decided.
UPDATE entries e SET expected_total = %(expected_total)s
FROM events v
WHERE v.id = e.event_id AND e.event_id = %(event_id)s AND e.id = %(entry_id)s
    AND e.buyer_id = %(buyer_id)s AND entry_is_active(e.state) AND e.expected_total IS NOT NULL
    AND wish_total(v, e.quantity, e.category, e.seats) = %(expected_total)s
RETURNING e.id

-- leave_queue --
-- Leaves a queue. state: of the entry before; gone: it has left now.
WITH mine AS (
    SELECT state FROM entries
    WHERE event_id = %(event_id)s AND id = %(entry_id)s AND buyer_id = %(buyer_id)s
    FOR UPDATE
), gone AS (
    UPDATE entries SET state = 'left', decided_at = clock_timestamp(), pass_state = NULL,
        pass_until = NULL
    WHERE event_id = %(event_id)s AND id = %(entry_id)s AND buyer_id = %(buyer_id)s
        AND entry_is_active(state)
    RETURNING id
), room AS (
    INSERT INTO lane_wakes (event_id)
    SELECT %(event_id)s FROM mine WHERE state = 'admitted' AND EXISTS (SELECT FROM gone)
)
SELECT state, EXISTS (SELECT FROM gone) AS gone FROM mine

-- take_pass --
SELECT outcome, pass_until FROM take_pass(%(event_id)s, %(entry_id)s, %(buyer_id)s)
