-- is_due --
-- Whether terms are to be written: bookings are marked, or changed since.
SELECT EXISTS (SELECT FROM bookings_to_index) OR EXISTS (
    SELECT FROM state_log WHERE noun = 'booking' AND at >= coalesce((SELECT until FROM booking_index),
        clock_timestamp() - interval '1 hour')) AS due

-- next_span --
-- The part of the state log to follow next, a minute at most. All transactions that began before its end have
-- ended, as in the auditor's. At first it begins an hour ago: all bookings from before were marked.
SELECT i.until AS since, least(i.until + interval '1 min', n.bound) AS until, n.bound
FROM (SELECT coalesce((SELECT until FROM booking_index), clock_timestamp() - interval '1 hour') AS until) i
CROSS JOIN LATERAL (
    SELECT least(clock_timestamp() - %(slack)s::interval, CASE WHEN min(xact_start) IS NOT NULL
            THEN greatest(min(xact_start), clock_timestamp() - interval '10 min') END) AS bound
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()) n

-- list_changed --
-- Bookings that changed in that time.
SELECT event_id, id FROM state_log
WHERE noun = 'booking' AND at >= %(since)s AND at < %(until)s
GROUP BY event_id, id ORDER BY min(at)

-- move_on --
-- Records that this part of the log was followed, unless another worker has done so.
INSERT INTO booking_index AS i (until) VALUES (%(until)s)
ON CONFLICT (is_one) DO UPDATE SET until = excluded.until WHERE i.until = %(since)s

-- take_marked --
-- Bookings that are marked; they are not any more.
DELETE FROM bookings_to_index WHERE booking_id = ANY (ARRAY(
    SELECT booking_id FROM bookings_to_index ORDER BY booking_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING event_id, booking_id AS id

-- read_bookings --
-- What bookings are found by. Those that are gone have no row.
SELECT b.event_id, b.id, b.organisation_id, b.state,
    CASE WHEN is_erased(b.buyer_id) THEN '{}' ELSE array_remove(ARRAY[u.name, n.name], NULL) END AS names,
    ARRAY(SELECT DISTINCT p.card_last4 FROM payments p
        WHERE p.event_id = b.event_id AND p.booking_id = b.id AND p.card_last4 IS NOT NULL) AS cards,
    ARRAY(SELECT t.reference FROM payments p JOIN transfers t ON t.payment_id = p.id
        WHERE p.event_id = b.event_id AND p.booking_id = b.id) AS "references",
    coalesce(g.tags, '{}') AS tags
FROM unnest(%(events)s::bigint[], %(ids)s::uuid[]) k(event_id, id)
JOIN bookings b ON b.event_id = k.event_id AND b.id = k.id
LEFT JOIN booking_tags g ON g.event_id = b.event_id AND g.booking_id = b.id
JOIN buyers u ON u.id = b.buyer_id
LEFT JOIN booking_names n ON n.event_id = b.event_id AND n.booking_id = b.id

-- write_terms --
-- Writes all terms of bookings; those that they have no more are deleted.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT w.term, w.booking_id, w.event_id
    FROM unnest(%(terms)s::bigint[], %(term_ids)s::uuid[], %(term_events)s::bigint[])
        w(term, booking_id, event_id)
), gone AS (
    DELETE FROM booking_terms t
    WHERE t.booking_id = ANY (%(ids)s) AND NOT EXISTS (
        SELECT FROM wanted w WHERE w.term = t.term AND w.booking_id = t.booking_id)
)
INSERT INTO booking_terms (term, booking_id, event_id)
SELECT term, booking_id, event_id FROM wanted ON CONFLICT DO NOTHING

-- count_terms --
-- How many bookings have each of the terms, up to a bound.
SELECT w.term, (SELECT count(*) FROM (
    SELECT FROM booking_terms t WHERE t.term = w.term LIMIT %(most)s) b)::integer AS bookings
FROM unnest(%(terms)s::bigint[]) w(term)

-- find_codes --
-- Bookings of an organisation with one of these codes.
SELECT b.event_id, b.id FROM unnest(%(codes)s::text[]) c(code) JOIN bookings b ON b.code = c.code
WHERE b.organisation_id = %(organisation_id)s

-- find_seat --
-- The booking that has a seat of an event: by its guid, or by row and number, or zone, row and number.
SELECT s.event_id, s.booking_id AS id
FROM events e
JOIN plan_seats p ON p.plan_version_id = e.plan_version_id AND (p.guid = %(seat)s
    OR lower(concat_ws(' ', p.row_label, p.number)) = lower(%(seat)s)
    OR lower(concat_ws(' ', p.zone, p.row_label, p.number)) = lower(%(seat)s))
JOIN seats s ON s.event_id = e.id AND s.seat = p.seat AND s.booking_id IS NOT NULL
WHERE e.id = %(event_id)s AND e.organisation_id = %(organisation_id)s

-- find_address --
-- Bookings of an organisation whose buyer has an address, or whose mails go there, the latest first.
SELECT f.event_id, f.id FROM (
    SELECT b.event_id, b.id FROM buyers u JOIN bookings b ON b.buyer_id = u.id
    WHERE lower(u.email) = lower(%(email)s) AND b.organisation_id = %(organisation_id)s
    UNION
    SELECT b.event_id, b.id FROM booking_addresses a
    JOIN bookings b ON b.event_id = a.event_id AND b.id = a.booking_id
    WHERE lower(a.email) = lower(%(email)s) AND b.organisation_id = %(organisation_id)s) f
ORDER BY f.id DESC LIMIT %(most)s

-- find_reference --
-- Bookings with the reference of a transfer.
SELECT event_id, booking_id AS id FROM booking_terms WHERE term = %(term)s ORDER BY booking_id DESC LIMIT %(most)s

-- find_among --
-- Those of some bookings that have all the terms, as find_bookings has them.
SELECT b.event_id, b.id
FROM unnest(%(events)s::bigint[], %(ids)s::uuid[]) k(event_id, id)
JOIN bookings b ON b.event_id = k.event_id AND b.id = k.id
WHERE b.organisation_id = %(organisation_id)s
    AND (%(event_id)s::bigint IS NULL OR b.event_id = %(event_id)s)
    AND (%(state)s::text IS NULL OR b.state = %(state)s)
    AND (%(starting_after)s::uuid IS NULL OR b.id < %(starting_after)s)
    AND NOT EXISTS (SELECT FROM unnest(%(all)s::bigint[]) o(term) WHERE NOT EXISTS (
        SELECT FROM booking_terms x WHERE x.term = o.term AND x.booking_id = b.id))
ORDER BY b.id DESC LIMIT %(limit)s

-- find_in_event --
-- Bookings of an event that have all the terms, as find_bookings has them.
SELECT b.event_id, b.id FROM bookings b
WHERE b.event_id = %(event_id)s AND b.organisation_id = %(organisation_id)s
    AND (%(state)s::text IS NULL OR b.state = %(state)s)
    AND (%(starting_after)s::uuid IS NULL OR b.id < %(starting_after)s)
    AND NOT EXISTS (SELECT FROM unnest(%(all)s::bigint[]) o(term) WHERE NOT EXISTS (
        SELECT FROM booking_terms x WHERE x.term = o.term AND x.booking_id = b.id))
ORDER BY b.id DESC LIMIT %(limit)s

-- find_bookings --
-- Bookings that have one of some terms and all of others.
SELECT event_id, id FROM find_bookings(%(organisation_id)s, %(any)s, %(all)s, %(event_id)s, %(state)s,
    %(starting_after)s, %(limit)s)

-- show_bookings --
-- Bookings as the list of their organisation has them.
SELECT b.id, b.event_id, e.name AS event, e.starts_at, e.time_zone, b.code, b.state, b.channel, b.quantity,
    b.currency, b.total, hold_deadline(b) AS deadline, b.created_at, b.confirmed_at, b.ended_at, b.buyer_id,
    coalesce(n.name, u.name) AS name, coalesce(booking_address(b.event_id, b.id), u.email) AS email,
    p.method, coalesce(g.tags, '{}') AS tags
FROM unnest(%(events)s::bigint[], %(ids)s::uuid[]) k(event_id, id)
JOIN bookings b ON b.event_id = k.event_id AND b.id = k.id
JOIN events e ON e.id = b.event_id
JOIN buyers u ON u.id = b.buyer_id
LEFT JOIN booking_names n ON n.event_id = b.event_id AND n.booking_id = b.id
LEFT JOIN booking_tags g ON g.event_id = b.event_id AND g.booking_id = b.id
LEFT JOIN payments p ON p.id = b.payment_id
ORDER BY b.id DESC
