-- wake --
-- A task for each organisation that has something to number and no task yet: to tell one that runs to run
-- again would wait for its batch. What comes while a task ends is found by the next look.
WITH RECURSIVE owing AS (
    (SELECT organisation_id FROM receipts_due ORDER BY organisation_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.organisation_id FROM receipts_due d
            WHERE d.organisation_id > s.organisation_id ORDER BY d.organisation_id LIMIT 1)
    FROM owing s WHERE s.organisation_id IS NOT NULL
)
SELECT count(*) AS woken
FROM (SELECT enqueue('number_receipts', 'payments', organisation_id::text,
          jsonb_build_object('organisation_id', organisation_id), p_priority => 80)
      FROM owing s
      WHERE organisation_id IS NOT NULL AND NOT EXISTS (
          SELECT FROM outbox o WHERE o.actor = 'number_receipts' AND o.key = organisation_id::text)
      OFFSET 0) w

-- number_receipts --
-- The next ones of an organisation.
SELECT number_receipts(%(organisation_id)s, %(limit)s) AS numbered

-- list_of_booking --
-- A buyer's own, in order; one row with nulls when there is none yet.
SELECT r.number, r.kind, r.corrects, r.refund_id, r.event_id, b.id AS booking_id, r.currency, r.issued_at,
    r.breakdown
FROM bookings b LEFT JOIN receipts r ON r.event_id = b.event_id AND r.booking_id = b.id
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s AND b.buyer_id = %(buyer_id)s
ORDER BY r.number

-- list_of_organisation --
-- An organisation's, in order, from the number given on; of one event, where it is named.
SELECT r.number AS id, r.number, r.kind, r.corrects, r.refund_id, r.event_id, r.booking_id, r.currency,
    r.issued_at, r.breakdown
FROM receipts r
WHERE r.organisation_id = %(organisation_id)s AND r.number > %(starting_after)s
    AND (%(event_id)s::bigint IS NULL OR r.event_id = %(event_id)s)
ORDER BY r.number LIMIT %(limit)s
