-- get_result --
-- How the latest payment of a booking went, for the page to which banks send buyers.
SELECT b.code, b.state, b.confirmed_at IS NOT NULL AS was_confirmed, b.total, b.currency, c.exponent, c.step,
    e.name AS event, e.starts_at, e.time_zone, v.name AS venue,
    CASE WHEN b.state = 'held' THEN hold_deadline(b) END AS deadline,
    p.state AS payment_state, p.method, p.failure_code
FROM bookings b
JOIN events e ON e.id = b.event_id
JOIN venues v ON v.id = e.venue_id
JOIN currencies c ON c.code = b.currency
LEFT JOIN LATERAL (
    SELECT state, method, failure_code FROM payments
    WHERE event_id = b.event_id AND booking_id = b.id
    ORDER BY created_at DESC LIMIT 1) p ON true
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s
