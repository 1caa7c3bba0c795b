-- start_postponement --
-- Postpones an event: another date, time zone or venue.
SELECT outcome, number FROM start_postponement(%(event_id)s, %(scope)s, %(starts_at)s, %(time_zone)s,
    %(venue_id)s, %(give_back_until)s, %(reason)s)

-- tell_of_postponement --
-- Writes mails to the next buyers.
SELECT told, finished FROM tell_of_postponement(%(event_id)s, %(limit)s)

-- list_postponements --
-- Postponements of an event, or the one with that number, the latest first. replaced: there is a later one.
-- told: buyers to whom a mail was written; kept: bookings from before that are sold now; given_back: those
-- that their buyers gave back after it, and before the next.
SELECT p.number AS id, p.reason, p.give_back_until, p.requested_by, p.requested_at, p.finished_at,
    n.requested_at IS NOT NULL AS replaced,
    p.old_starts_at, p.new_starts_at, p.old_time_zone, p.new_time_zone, p.old_venue_id, p.new_venue_id,
    (SELECT count(*) FROM emails m
     WHERE m.event_id = p.event_id AND m.postponement = p.number) AS told, b.kept, b.given_back
FROM postponements p
LEFT JOIN postponements n ON n.event_id = p.event_id AND n.number = p.number + 1
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE booking_is_sold(state)) AS kept,
        count(*) FILTER (WHERE reason = 'given_back' AND ended_at >= p.requested_at
            AND (n.requested_at IS NULL OR ended_at < n.requested_at)) AS given_back
    FROM bookings
    WHERE event_id = p.event_id AND created_at < p.requested_at) b
WHERE p.event_id = %(event_id)s AND (%(number)s::integer IS NULL OR p.number = %(number)s)
    AND (%(starting_after)s = 0 OR p.number < %(starting_after)s)
ORDER BY p.number DESC LIMIT %(limit)s

-- give_back --
-- Gives a buyer's booking of a postponed event back.
SELECT outcome, until FROM give_back(%(event_id)s, %(booking_id)s, %(buyer_id)s)
