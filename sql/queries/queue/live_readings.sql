-- find_entries --
-- The entry of each buyer in the queue of each event: the active one, else the last.
SELECT w.event_id, w.buyer_id, e.id
FROM unnest(%(event_ids)s::bigint[], %(buyer_ids)s::bigint[]) w(event_id, buyer_id)
CROSS JOIN LATERAL (
    SELECT id FROM entries
    WHERE event_id = w.event_id AND buyer_id = w.buyer_id
    ORDER BY entry_is_active(state) DESC, joined_at DESC
    LIMIT 1) e

-- read_entries --
-- The states of entries.
SELECT e.id, e.number, e.booking_id, e.pass_state,
    CASE WHEN t.told THEN 'unavailable' ELSE e.state END AS state,
    CASE WHEN t.told THEN q.reason ELSE e.reason END AS reason
FROM unnest(%(event_ids)s::bigint[], %(ids)s::uuid[]) w(event_id, id)
JOIN entries e ON e.event_id = w.event_id AND e.id = w.id
LEFT JOIN queue_endings q ON q.event_id = e.event_id
CROSS JOIN LATERAL (SELECT ending_tells(q, e) AS told) t

-- read_bookings --
-- The states of bookings and their payments.
SELECT b.id, b.buyer_id, b.state, b.reason, p.state AS payment_state
FROM unnest(%(event_ids)s::bigint[], %(ids)s::uuid[]) w(event_id, id)
JOIN bookings b ON b.event_id = w.event_id AND b.id = w.id
LEFT JOIN payments p ON p.id = b.payment_id
