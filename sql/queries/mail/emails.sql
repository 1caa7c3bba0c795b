-- admit_emails --
-- Which mails may be sent now, by the limits of their mailboxes.
SELECT * FROM admit_emails(%(ids)s)

-- take --
-- The contents of those mails that are not sent yet, counted as one more attempt. balance: what is left of
-- the booking's money, null if it is not paid or nothing has gone back.
UPDATE emails e SET attempts = e.attempts + 1
FROM buyers b JOIN accounts a ON a.id = b.id
WHERE e.id = ANY (%(ids)s) AND e.state = 'pending' AND b.id = e.buyer_id
RETURNING e.id, e.template, e.context, e.event_id, e.resends, e.postponement,
    coalesce(booking_name(e.event_id, e.booking_id), b.name) AS name, b.locale,
    coalesce(booking_address(e.event_id, e.booking_id), account_address(b.id, e.template)) AS email,
    booking_address(e.event_id, e.booking_id) IS NULL AND e.template <> 'new_address'
        AND a.verified_at IS NOT NULL AS verified, (
    SELECT jsonb_build_object('id', k.id, 'code', k.code, 'state', k.state, 'total', k.total,
        'currency', k.currency, 'breakdown', price_breakdown(k.event_id, k.id),
        'balance', CASE WHEN k.confirmed_at IS NOT NULL AND (k.state <> 'confirmed' OR EXISTS (
            SELECT FROM refunds r WHERE r.event_id = k.event_id AND r.booking_id = k.id))
            THEN booking_balance(k.event_id, k.id) END, 'deadline', k.deadline,
        'quantity', k.quantity, 'event', v.name, 'instructions', v.offline_instructions,
        'starts_at', v.starts_at, 'time_zone', v.time_zone, 'is_test', v.is_test,
        'venue', concat_ws(', ', n.name, nullif(n.city, '')),
        'postponement', (SELECT max(number) FROM postponements p WHERE p.event_id = v.id))
    FROM bookings k JOIN events v ON v.id = k.event_id JOIN venues n ON n.id = v.venue_id
    WHERE k.event_id = e.event_id AND k.id = e.booking_id) AS booking, (
    SELECT jsonb_agg(jsonb_build_object('zone', p.zone, 'row', p.row_label,
        'row_label', p.printed_row, 'number', p.number,
        'category', c.name, 'price', i.price + i.fee,
        'returned', i.returned_at IS NOT NULL, 'code', t.secret) ORDER BY i.seat)
    FROM events v
    JOIN booking_items i ON i.event_id = v.id AND i.booking_id = e.booking_id
    JOIN plan_seats p ON p.plan_version_id = v.plan_version_id AND p.seat = i.seat
    JOIN event_categories c ON c.event_id = v.id AND c.category = i.category
    LEFT JOIN tickets t ON t.event_id = v.id AND t.booking_id = i.booking_id AND t.seat = i.seat
        AND t.state = 'valid'
    WHERE v.id = e.event_id) AS seats

-- mark_sent --
-- Marks mails as sent: the mail server accepted them.
UPDATE emails SET state = 'sent', sent_at = clock_timestamp(), last_error = NULL
WHERE id = ANY (%(ids)s) AND state = 'pending'

-- give_up --
-- Ends a mail without sending it: as failed, when the mail server refuses it for good, or as skipped.
UPDATE emails SET state = %(state)s, last_error = %(error)s WHERE id = %(id)s AND state = 'pending'

-- list_troubled --
-- Mails that failed, or could not be sent yet, found by their dead letters or tasks. The latest first,
-- after the given one.
SELECT id, event_id, booking_id, buyer_id, template, state, attempts, last_error, created_at
FROM emails
WHERE id = ANY (ARRAY(
        SELECT (args ->> 'email_id')::uuid FROM dead_letters
        WHERE actor = 'send_email' AND resolved_at IS NULL
        UNION SELECT (args ->> 'email_id')::uuid FROM outbox
        WHERE actor = 'send_email' AND %(state)s = 'pending'))
    AND state = %(state)s AND created_at <= clock_timestamp() - make_interval(secs => %(older_than)s)
    AND (%(starting_after)s::uuid IS NULL OR id < %(starting_after)s)
ORDER BY id DESC LIMIT %(limit)s

-- get_address --
-- Where the mails of a booking go. corrected: by the organiser, instead of to the buyer's own address.
SELECT coalesce(c, u.email) AS email, c IS NOT NULL AS corrected, b.buyer_id
FROM bookings b JOIN buyers u ON u.id = b.buyer_id
CROSS JOIN LATERAL booking_address(b.event_id, b.id) c
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s

-- correct_address --
-- Sends the mails of a booking to another address from now on.
SELECT correct_address(%(event_id)s, %(booking_id)s, %(email)s) AS found

-- resend_emails --
-- Sends refused mails of a booking again, and that with its tickets.
SELECT resend_emails(%(event_id)s, %(booking_id)s) AS emails

-- list_waiting --
-- Mails of a booking that are on their way.
SELECT id, template, state, created_at FROM emails
WHERE event_id = %(event_id)s AND booking_id = %(booking_id)s AND state = 'pending' ORDER BY id

-- list_refused --
-- Mails of an event that the mail server refused, by their open dead letters; the latest first, after the
-- given one.
SELECT m.id, m.booking_id, b.code AS booking_code, m.template, coalesce(c, u.email) AS email,
    m.last_error AS reason, m.created_at
FROM dead_letters l
JOIN emails m ON m.id = (l.args ->> 'email_id')::uuid
JOIN bookings b ON b.event_id = m.event_id AND b.id = m.booking_id
JOIN buyers u ON u.id = b.buyer_id
CROSS JOIN LATERAL booking_address(b.event_id, b.id) c
WHERE l.event_id = %(event_id)s AND l.actor = 'send_email' AND l.resolved_at IS NULL AND m.state = 'failed'
    AND m.event_id = %(event_id)s AND (%(starting_after)s::uuid IS NULL OR m.id < %(starting_after)s)
ORDER BY m.id DESC LIMIT %(limit)s
