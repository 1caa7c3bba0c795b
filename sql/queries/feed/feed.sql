-- number_feed --
-- Numbers what is new.
SELECT told, remains, restarted FROM number_feed(%(limit)s)

-- list_messages --
-- Messages of a feed after a number.
SELECT number, type, version, at AS timestamp, NOT is_test AS livemode, event_id, data
FROM feed_messages
WHERE organisation_id = %(organisation_id)s AND is_test = %(is_test)s AND number > %(after)s
ORDER BY number LIMIT %(limit)s

-- get_span --
-- The first and the last number that a feed has; the first one is the next if all were deleted.
SELECT coalesce((
        SELECT m.number FROM feed_messages m
        WHERE m.organisation_id = %(organisation_id)s AND m.is_test = %(is_test)s
        ORDER BY m.number LIMIT 1), h.last + 1) AS oldest, h.last
FROM (SELECT coalesce(max(last_number), 0) AS last FROM feed_heads
      WHERE organisation_id = %(organisation_id)s AND is_test = %(is_test)s) h
