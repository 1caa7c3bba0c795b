-- extend_deadline --
-- Gives a buyer more time to pay.
SELECT outcome, deadline FROM extend_deadline(%(event_id)s, %(booking_id)s, %(deadline)s)

-- correct_name --
-- Gives a booking another name than its buyer's.
SELECT correct_name(%(event_id)s, %(booking_id)s, %(name)s) AS found

-- set_tags --
-- Replaces the tags of a booking.
SELECT set_tags(%(event_id)s, %(booking_id)s, %(tags)s) AS found

-- write_note --
-- Writes a note about a booking.
SELECT write_note(%(event_id)s, %(booking_id)s, %(note)s) AS id

-- list_notes --
-- Notes about a booking, the latest first, after the given one.
SELECT id, note, written_by, created_at FROM booking_notes
WHERE event_id = %(event_id)s AND booking_id = %(booking_id)s
    AND (%(starting_after)s::uuid IS NULL OR id < %(starting_after)s)
ORDER BY id DESC LIMIT %(limit)s
