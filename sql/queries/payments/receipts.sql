-- wake --
-- Adds a task for each organisation that has documents to number and no task yet. An existing task is not
-- marked to run again: that would wait for its batch. Documents that become due while a task ends are found
-- by the next run.
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
-- Numbers the next documents of an organisation.
SELECT number_receipts(%(organisation_id)s, %(limit)s) AS numbered

-- list_of_booking --
-- Documents of a buyer's own booking, in order; one row with nulls if there is none yet.
SELECT r.number, r.kind, r.corrects, r.refund_id, r.event_id, b.id AS booking_id, r.currency, r.issued_at,
    r.breakdown
FROM bookings b LEFT JOIN receipts r ON r.event_id = b.event_id AND r.booking_id = b.id
WHERE b.event_id = %(event_id)s AND b.id = %(booking_id)s AND b.buyer_id = %(buyer_id)s
ORDER BY r.number

-- list_of_organisation --
-- Documents of an organisation, in order, after the given number; of one event if it is given.
SELECT r.number AS id, r.number, r.kind, r.corrects, r.refund_id, r.event_id, r.booking_id, r.currency,
    r.issued_at, r.breakdown
FROM receipts r
WHERE r.organisation_id = %(organisation_id)s AND r.number > %(starting_after)s
    AND (%(event_id)s::bigint IS NULL OR r.event_id = %(event_id)s)
ORDER BY r.number LIMIT %(limit)s
