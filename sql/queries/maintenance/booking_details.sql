-- list_tickets --
-- Tickets of a booking, with void ones, without what their codes are drawn from.
SELECT t.id, s.guid, s.zone, s.row_label AS row, s.printed_row AS row_label, s.number, i.category, i.price_type,
    i.area, t.issued_at, t.voided_at,
    CASE WHEN b.state = 'frozen' AND t.state = 'valid' THEN 'on_hold' ELSE t.state END AS state
FROM bookings b
JOIN tickets t ON t.event_id = b.event_id AND t.booking_id = b.id
JOIN booking_items i ON i.event_id = t.event_id AND i.booking_id = t.booking_id AND i.seat = t.seat
JOIN events e ON e.id = t.event_id
JOIN plan_seats s ON s.plan_version_id = e.plan_version_id AND s.seat = t.seat
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s
ORDER BY t.seat, t.issued_at

-- list_payments --
-- Attempts to pay of a booking, the latest first.
SELECT p.id, p.method, p.state, p.amount, p.currency, p.captured, p.refunded, p.kept,
    lpad(p.card_last4::text, 4, '0') AS card_last4, p.failure_code, o.reference, p.created_at
FROM payments p LEFT JOIN offline_payments o ON o.payment_id = p.id
WHERE p.event_id = %(event_id)s AND p.booking_id = %(booking_id)s
ORDER BY p.created_at DESC

-- list_transfers --
-- Money that came offline for a booking, the first one first.
SELECT id, reference, amount, currency, surplus, decision, how, received_at, recorded_by FROM transfers
WHERE event_id = %(event_id)s AND booking_id = %(booking_id)s ORDER BY id

-- list_timeline --
-- All that happened to a booking, in order.
WITH b AS MATERIALIZED (
    SELECT event_id, id, entry_id, created_at FROM bookings
    WHERE event_id = %(event_id)s AND id = %(booking_id)s
), subjects AS MATERIALIZED (
    SELECT id, 'booking' AS kind, NULL::bigint AS amount, NULL::char(3) AS currency FROM b
    UNION ALL SELECT p.id, 'payment', p.amount, p.currency FROM b
        JOIN payments p ON p.event_id = b.event_id AND p.booking_id = b.id
    UNION ALL SELECT r.id, 'refund', r.amount, r.currency FROM b
        JOIN refunds r ON r.event_id = b.event_id AND r.booking_id = b.id
)
SELECT t.at, t.kind, t.what, t.id, t.actor, t.detail FROM (
    SELECT e.joined_at AS at, 'queue' AS kind, 'joined' AS what, e.id, NULL AS actor,
        jsonb_build_object('number', CASE WHEN e.number > 0 THEN e.number END) AS detail, 1 AS place
    FROM b JOIN entries e ON e.event_id = b.event_id AND e.id = b.entry_id
    UNION ALL
    SELECT e.decided_at, 'queue', e.state, e.id, NULL, '{}', 2
    FROM b JOIN entries e ON e.event_id = b.event_id AND e.id = b.entry_id WHERE e.decided_at IS NOT NULL
    UNION ALL
    SELECT l.at, s.kind, l.new_state, l.id, l.actor, jsonb_strip_nulls(jsonb_build_object('from', l.old_state,
        'amount', s.amount, 'currency', s.currency)), 3
    FROM b CROSS JOIN subjects s
    JOIN state_log l ON l.event_id = b.event_id AND l.id = s.id AND l.at >= b.created_at - interval '1 hour'
        AND l.actor IS DISTINCT FROM 'archive'
    UNION ALL
    SELECT k.issued_at, 'ticket', 'issued', k.id, NULL, '{}', 4
    FROM b JOIN tickets k ON k.event_id = b.event_id AND k.booking_id = b.id
    UNION ALL
    SELECT k.voided_at, 'ticket', 'void', k.id, NULL, '{}', 4
    FROM b JOIN tickets k ON k.event_id = b.event_id AND k.booking_id = b.id WHERE k.voided_at IS NOT NULL
    UNION ALL
    SELECT m.created_at, 'mail', 'written', m.id, NULL, jsonb_build_object('template', m.template), 5
    FROM b JOIN emails m ON m.event_id = b.event_id AND m.booking_id = b.id
    UNION ALL
    SELECT coalesce(m.sent_at, m.created_at), 'mail', m.state, m.id, NULL,
        jsonb_build_object('template', m.template), 6
    FROM b JOIN emails m ON m.event_id = b.event_id AND m.booking_id = b.id WHERE m.state <> 'pending'
    UNION ALL
    SELECT r.issued_at, 'receipt', r.kind, NULL, NULL, jsonb_build_object('number', r.number), 7
    FROM b JOIN receipts r ON r.event_id = b.event_id AND r.booking_id = b.id
    UNION ALL
    SELECT a.at, 'act', a.action, NULL, a.actor, a.detail - ARRAY['booking_id', 'booking'], 8
    FROM b JOIN audit_log a ON a.event_id = b.event_id AND a.at >= b.created_at
        AND (a.detail ->> 'booking_id' = b.id::text OR a.detail ->> 'booking' = b.id::text)
        AND a.action NOT LIKE '%%read') t
ORDER BY t.at, t.place LIMIT %(limit)s
