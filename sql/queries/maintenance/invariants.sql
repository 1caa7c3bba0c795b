-- bare --
-- The text before each invariant: it hides findings, because an invariant that asks for a dead letter would
-- otherwise hold as soon as its own finding is one.
WITH dead_letters AS (SELECT * FROM dead_letters WHERE actor <> 'audit')

-- among --
-- The same, and each table of bookings is limited to some buyers of an event. Joined rows stay together, so
-- that no row seems to be missing; seats that no item names are left out.
WITH dead_letters AS (SELECT * FROM dead_letters WHERE actor <> 'audit'),
bookings AS MATERIALIZED (
    SELECT * FROM bookings WHERE buyer_id = ANY (%(buyers)s) AND event_id = %(event_id)s),
booking_items AS MATERIALIZED (
    SELECT i.* FROM booking_items i
    WHERE i.event_id = %(event_id)s AND i.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
seats AS MATERIALIZED (
    SELECT s.* FROM seats s
    WHERE s.event_id = %(event_id)s AND s.seat = ANY (ARRAY(SELECT seat FROM booking_items))
        AND (s.booking_id IS NULL OR s.booking_id IN (SELECT id FROM bookings))),
tickets AS MATERIALIZED (
    SELECT t.* FROM tickets t
    WHERE t.event_id = %(event_id)s AND t.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
payments AS MATERIALIZED (
    SELECT p.* FROM payments p
    WHERE p.event_id = %(event_id)s AND p.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
refunds AS MATERIALIZED (
    SELECT r.* FROM refunds r
    WHERE r.event_id = %(event_id)s AND r.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
refund_items AS MATERIALIZED (
    SELECT r.* FROM refund_items r
    WHERE r.event_id = %(event_id)s AND r.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
disputes AS MATERIALIZED (
    SELECT d.* FROM disputes d
    WHERE d.event_id = %(event_id)s AND d.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
entries AS MATERIALIZED (
    SELECT e.* FROM entries e WHERE e.event_id = %(event_id)s AND e.buyer_id = ANY (%(buyers)s)),
receipts AS MATERIALIZED (
    SELECT r.* FROM receipts r
    WHERE r.event_id = %(event_id)s AND r.booking_id = ANY (ARRAY(SELECT id FROM bookings))),
buyer_seats AS MATERIALIZED (
    SELECT c.* FROM buyer_seats c WHERE c.event_id = %(event_id)s AND c.buyer_id = ANY (%(buyers)s)),
emails AS MATERIALIZED (
    SELECT m.* FROM emails m
    WHERE m.event_id = %(event_id)s AND m.booking_id = ANY (ARRAY(SELECT id FROM bookings))
        AND m.refund_id IS NULL
    UNION ALL
    SELECT m.* FROM emails m WHERE m.refund_id = ANY (ARRAY(SELECT id FROM refunds)))
