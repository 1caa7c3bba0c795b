-- book_seats --
-- Books seats with a pass, or by a direct booking if that is allowed.
SELECT outcome, booking_id, total
FROM book_seats(%(event_id)s, %(buyer_id)s, %(entry_id)s, %(quantity)s, %(category)s, %(together)s,
    %(accessible)s, coalesce(%(seats)s::text[], name_seats(%(plan_version_id)s, %(chart_seats)s)),
    %(accept_terms)s, %(per_second)s, %(expected_total)s, %(by_organisation)s, %(plan_version_id)s)

-- get_booking --
-- A buyer's own booking, with its seats and its latest attempt to pay. The deadline includes the credit.
-- being_checked: the task has an open dead letter and is tried again. own_fee: of the booking itself.
SELECT b.id, b.code, b.state, b.reason, b.quantity, b.currency, b.total, b.created_at,
    b.confirmed_at, d.deadline,
    jsonb_build_object('fee', b.fee, 'tax_rate', b.fee_tax_rate, 'tax', b.fee_tax) AS own_fee,
    CASE WHEN b.state = 'review' THEN b.review_until END AS checked_by,
    CASE WHEN booking_is_sold(b.state) THEN give_back_until(b) END AS give_back_until,
    booking_is_under_way(b.state) AND EXISTS (
        SELECT FROM dead_letters l JOIN outbox o ON o.id = l.task_id
        WHERE l.booking_id = b.id AND l.resolved_at IS NULL AND l.actor = 'advance') AS being_checked,
    CASE WHEN b.state IN ('held', 'authorising')
        THEN greatest(0, extract(epoch FROM d.deadline - clock_timestamp()))::float8 END AS seconds_left,
    (SELECT jsonb_agg(jsonb_build_object('guid', s.guid, 'zone', s.zone, 'row', s.row_label,
            'row_label', s.printed_row,
            'number', s.number, 'category', i.category, 'price_type', i.price_type, 'area', i.area,
            'price', i.price, 'fee', i.fee,
            'tax_rate', i.tax_rate, 'tax', i.tax, 'returned', i.returned_at IS NOT NULL) ORDER BY i.seat)
     FROM booking_items i
     JOIN events e ON e.id = i.event_id
     JOIN plan_seats s ON s.plan_version_id = e.plan_version_id AND s.seat = i.seat
     WHERE i.event_id = b.event_id AND i.booking_id = b.id) AS items,
    (SELECT jsonb_build_object('id', p.id, 'method', p.method, 'state', p.state, 'next_action', p.next_action,
            'client_secret', p.client_secret, 'failure_code', p.failure_code)
     FROM payments p WHERE p.event_id = b.event_id AND p.booking_id = b.id
     ORDER BY p.created_at DESC LIMIT 1) AS payment,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'amount', r.amount, 'currency',
            r.currency, 'state', r.state, 'created_at', r.created_at) ORDER BY r.id), '[]')
     FROM refunds r WHERE r.event_id = b.event_id AND r.booking_id = b.id) AS refunds
FROM bookings b
CROSS JOIN LATERAL (SELECT hold_deadline(b) AS deadline) d
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s AND b.buyer_id = %(buyer_id)s

-- list_bookings --
-- A buyer's own bookings, including archived ones; the latest first, after the given one.
WITH last_seen AS (
    SELECT created_at, id FROM bookings WHERE buyer_id = %(buyer_id)s AND id = %(starting_after)s
    UNION ALL
    SELECT created_at, id FROM archived_bookings
    WHERE buyer_id = %(buyer_id)s AND id = %(starting_after)s
)
SELECT m.*, e.name AS event, e.starts_at, e.time_zone
FROM (
    (SELECT b.event_id, b.id, b.code, b.state, b.quantity, b.currency, b.total, b.created_at,
        hold_deadline(b) AS deadline, false AS archived
    FROM bookings b
    WHERE b.buyer_id = %(buyer_id)s AND (%(starting_after)s::uuid IS NULL
        OR (b.created_at, b.id) < (SELECT created_at, id FROM last_seen))
    ORDER BY b.created_at DESC, b.id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT a.event_id, a.id, a.code, a.state, a.quantity, a.currency, a.total, a.created_at,
        (a.document #>> '{booking,deadline}')::timestamptz, true
    FROM archived_bookings a
    WHERE a.buyer_id = %(buyer_id)s AND (%(starting_after)s::uuid IS NULL
        OR (a.created_at, a.id) < (SELECT created_at, id FROM last_seen))
    ORDER BY a.created_at DESC, a.id DESC LIMIT %(limit)s)) m
JOIN events e ON e.id = m.event_id
ORDER BY m.created_at DESC, m.id DESC LIMIT %(limit)s

-- cancel_booking --
-- Cancels a buyer's booking; the state that it was in, null if it is not the buyer's.
SELECT cancel_booking(%(event_id)s, %(booking_id)s, %(buyer_id)s) AS was

-- list_tickets --
-- Tickets of a buyer's own booking; one row with nulls if it has none yet. Tickets of a frozen booking have
-- no code.
SELECT t.id, s.guid, s.zone, s.row_label AS row, s.printed_row AS row_label, s.number, i.category,
    i.price_type, i.area,
    CASE WHEN b.state <> 'frozen' THEN t.secret END AS secret,
    CASE WHEN b.state = 'frozen' AND t.state = 'valid' THEN 'on_hold' ELSE t.state END AS state
FROM bookings b
LEFT JOIN tickets t ON t.event_id = b.event_id AND t.booking_id = b.id
LEFT JOIN booking_items i ON i.event_id = t.event_id AND i.booking_id = t.booking_id AND i.seat = t.seat
LEFT JOIN events e ON e.id = t.event_id
LEFT JOIN plan_seats s ON s.plan_version_id = e.plan_version_id AND s.seat = t.seat
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s AND b.buyer_id = %(buyer_id)s
ORDER BY t.seat, t.issued_at

-- get_code --
-- The secret in the code of a buyer's own valid ticket, and whether it is for a test.
SELECT t.secret, e.is_test
FROM tickets t JOIN bookings b ON b.event_id = t.event_id AND b.id = t.booking_id
JOIN events e ON e.id = t.event_id
WHERE t.event_id = %(event_id)s AND t.booking_id = %(booking_id)s AND t.id = %(ticket_id)s
    AND b.buyer_id = %(buyer_id)s AND t.state = 'valid' AND b.state = 'confirmed'

-- remind_holders --
-- Writes reminders to buyers who have not begun to pay when half of the time is over.
SELECT reminded FROM remind_holders(%(limit)s)
