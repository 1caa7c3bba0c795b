-- purge_idempotency_keys --
-- Deletes idempotency keys, which are kept for at least 24 hours.
DELETE FROM idempotency_keys WHERE (principal, route, key) IN (
    SELECT principal, route, key FROM idempotency_keys
    WHERE created_at < clock_timestamp() - interval '25 h' ORDER BY created_at LIMIT %(limit)s)

-- purge_notification_inbox --
-- Deletes old notifications, which the gateway no longer repeats.
DELETE FROM notification_inbox WHERE id IN (
    SELECT id FROM notification_inbox
    WHERE received_at < clock_timestamp() - make_interval(days => %(days)s)
    ORDER BY received_at LIMIT %(limit)s)

-- purge_acts --
-- Deletes old acts of the audit log from the beginning of their chains; a row for each.
SELECT purge_acts(%(days)s, %(limit)s) AS act_id

-- purge_dead_letters --
-- Deletes resolved dead letters, unless a difference refers to them.
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters l
    WHERE resolved_at < clock_timestamp() - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT FROM reconciliation_differences d WHERE d.dead_letter_id = l.id)
    ORDER BY resolved_at LIMIT %(limit)s)

-- purge_plan_imports --
-- Deletes imports of plans that ended a month ago; what they stored stays.
DELETE FROM plan_imports WHERE id IN (
    SELECT id FROM plan_imports
    WHERE finished_at < clock_timestamp() - interval '30 days' ORDER BY finished_at LIMIT %(limit)s)

-- purge_availability --
-- Deletes snapshots of seats that no reader has asked for in the last hour.
DELETE FROM availability_snapshots WHERE (event_id, number) IN (
    SELECT event_id, number FROM availability_snapshots
    WHERE seen_at < clock_timestamp() - interval '1 hour' ORDER BY seen_at LIMIT %(limit)s)

-- purge_emails --
-- Deletes mails without a booking, mostly sign-in codes. Mails of bookings are archived with them.
DELETE FROM emails WHERE id IN (
    SELECT id FROM emails
    WHERE booking_id IS NULL AND state <> 'pending'
        AND created_at < clock_timestamp() - make_interval(days => %(days)s)
    ORDER BY created_at LIMIT %(limit)s)

-- purge_mailboxes --
-- Deletes the counts of mailboxes that have had no mail for longer than any limit looks back.
DELETE FROM mailboxes WHERE mailbox IN (
    SELECT mailbox FROM mailboxes
    WHERE last_day < (clock_timestamp() AT TIME ZONE 'utc')::date - 2
    ORDER BY last_day LIMIT %(limit)s)

-- purge_sessions --
-- Deletes sessions a month after they could last be used.
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE expires_at < clock_timestamp() - interval '30 days'
    ORDER BY expires_at LIMIT %(limit)s)

-- purge_mailed_codes --
-- Deletes codes that do not count for any limit any more.
DELETE FROM mailed_codes WHERE (request_sha256, purpose) IN (
    SELECT request_sha256, purpose FROM mailed_codes
    WHERE created_at < clock_timestamp() - interval '1 day' ORDER BY created_at LIMIT %(limit)s)

-- purge_passkey_challenges --
-- Deletes challenges that are too old to be answered again.
DELETE FROM passkey_challenges WHERE challenge_sha256 IN (
    SELECT challenge_sha256 FROM passkey_challenges
    WHERE created_at < clock_timestamp() - interval '1 day' ORDER BY created_at LIMIT %(limit)s)

-- purge_address_changes --
-- Deletes changes of addresses whose mails are long sent.
DELETE FROM address_changes WHERE account_id IN (
    SELECT account_id FROM address_changes
    WHERE created_at < clock_timestamp() - interval '7 days' ORDER BY created_at LIMIT %(limit)s)

-- purge_personal_exports --
-- Deletes exports of personal data a week after they were ready, and those that never were.
DELETE FROM personal_exports WHERE account_id IN (
    SELECT account_id FROM personal_exports
    WHERE finished_at < clock_timestamp() - interval '7 days'
        OR finished_at IS NULL AND requested_at < clock_timestamp() - interval '30 days' LIMIT %(limit)s)

-- purge_holds --
-- Deletes old holds that ended without an attempt to pay, with all that belongs to them; a row for each.
SELECT purge_holds(make_interval(days => %(days)s), %(limit)s) AS booking_id

-- list_old_log --
-- Old partitions of the state log. One is kept while an event that existed in its month is not archived:
-- the event's bookings take their part of the log into the archive.
SELECT name, state FROM list_partitions('state_log')
WHERE month + interval '1 month' < clock_timestamp() - make_interval(days => %(days)s)
    AND (state <> 'attached' OR NOT EXISTS (
        SELECT FROM events
        WHERE archived_at IS NULL AND state <> 'draft' AND created_at < month + interval '1 month'))

-- list_old_months --
-- Old partitions of an archive or of the feed.
SELECT name, state FROM list_partitions(%(table)s)
WHERE month + interval '1 month' < clock_timestamp() - make_interval(days => %(days)s)

-- sum_up_day --
-- Writes the totals of a day (UTC). A day that is written again gets the present totals, unless they are
-- lower because the event is archived. Bookings that are restored from the archive do not count, nor do
-- unexpected payments and their refunds.
WITH changed AS MATERIALIZED (
    SELECT DISTINCT noun, event_id, id FROM state_log
    WHERE at >= %(day)s::date::timestamp AT TIME ZONE 'utc'
        AND at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'utc'
        AND (noun, new_state) IN (('booking', 'confirmed'), ('refund', 'succeeded'))
        AND actor IS DISTINCT FROM 'archive'
), sold AS (
    SELECT b.event_id, count(*) AS bookings, sum(b.quantity) AS seats, sum(b.total) AS amount
    FROM changed c JOIN bookings b ON b.event_id = c.event_id AND b.id = c.id
    WHERE c.noun = 'booking'
        AND b.confirmed_at >= %(day)s::date::timestamp AT TIME ZONE 'utc'
        AND b.confirmed_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'utc'
    GROUP BY b.event_id
), returned AS (
    SELECT r.event_id, count(*) AS refunds, sum(r.amount) AS amount
    FROM changed c JOIN refunds r ON r.id = c.id
    JOIN bookings b ON b.event_id = r.event_id AND b.id = r.booking_id AND b.payment_id = r.payment_id
    WHERE c.noun = 'refund' AND b.confirmed_at IS NOT NULL
    GROUP BY r.event_id
)
INSERT INTO daily_sales (day, event_id, organisation_id, currency, bookings, seats, sold, refunds, refunded)
SELECT %(day)s, e.id, e.organisation_id, e.currency, coalesce(s.bookings, 0), coalesce(s.seats, 0),
    coalesce(s.amount, 0), coalesce(r.refunds, 0), coalesce(r.amount, 0)
FROM sold s FULL JOIN returned r ON r.event_id = s.event_id
JOIN events e ON e.id = coalesce(s.event_id, r.event_id) AND NOT e.is_test
ON CONFLICT (day, event_id) DO UPDATE
SET bookings = excluded.bookings, seats = excluded.seats, sold = excluded.sold,
    refunds = excluded.refunds, refunded = excluded.refunded
WHERE NOT EXISTS (
    SELECT FROM events e WHERE e.id = daily_sales.event_id AND e.archive_month IS NOT NULL)
