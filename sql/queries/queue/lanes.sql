-- any_work --
-- Tells whether a lane that no drain serves has something to decide. It locks the lane: commit at once.
SELECT next_lane(%(backlog)s) IS NOT NULL AS work

-- next_lane --
-- Locks the lane to serve now, until the transaction ends.
SELECT next_lane(%(backlog)s, %(ahead)s) AS event_id

-- lock_lane --
-- Locks the same lane again, after a batch failed.
SELECT event_id FROM lane_state WHERE event_id = %(event_id)s FOR UPDATE SKIP LOCKED

-- drain_lane --
-- Decides the next entries of a locked lane.
SELECT * FROM drain_lane(%(event_id)s, %(batch)s, %(per_second)s)

-- dead_letter_first --
-- Makes a dead letter of the first entry, in the order of drain_lane, and refuses it: no batch with it
-- succeeds.
WITH lane AS (
    SELECT q.written_to, CASE WHEN EXISTS (
            SELECT FROM lane_wakes w WHERE w.event_id = l.event_id AND w.kind = 'released')
        THEN 0 ELSE l.standby_from END AS standby_from
    FROM lane_state l LEFT JOIN queue_endings q ON q.event_id = l.event_id
    WHERE l.event_id = %(event_id)s
), entry AS (
    SELECT e.* FROM entries e, lane
    WHERE e.event_id = %(event_id)s
        AND CASE WHEN lane.written_to IS NULL
            THEN e.state = 'waiting' OR e.state = 'standby' AND e.number >= lane.standby_from
            ELSE entry_is_waiting(e.state) AND e.number > lane.written_to END
    ORDER BY e.number LIMIT 1
), told AS (
    UPDATE entries e SET state = 'unavailable', decided_at = clock_timestamp(), reason = 'error'
    FROM entry WHERE e.event_id = entry.event_id AND e.id = entry.id
)
INSERT INTO dead_letters (task_id, actor, queue, key, args, event_id, buyer_id, reason, claims,
    errors, created_at)
SELECT 0, 'drain', 'drain', id::text, jsonb_build_object('event_id', event_id, 'entry_id', id),
    event_id, buyer_id, %(error)s, 1, '[]', joined_at
FROM entry

-- expire_holds --
-- Expires holds whose deadline has passed.
SELECT * FROM expire_holds(%(limit)s)

-- release_kept --
-- Releases the kept seats of events that begin soon.
SELECT release_kept() AS events

-- expire_passes --
-- Ends passes that were not taken or not used in time.
SELECT * FROM expire_passes(%(limit)s)
