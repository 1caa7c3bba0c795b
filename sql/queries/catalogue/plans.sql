-- add_plan --
-- Adds a plan to a venue; it has no version yet.
INSERT INTO plans (organisation_id, venue_id, name)
SELECT organisation_id, id, %(name)s FROM venues
WHERE id = %(venue_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
RETURNING id

-- check_venue --
-- One row if the venue is within the scope.
SELECT id FROM venues
WHERE id = %(venue_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- get_plan --
-- A plan within the scope, with its latest version.
SELECT p.id, p.venue_id, p.name, v.version, v.id AS version_id, v.seat_count AS seats
FROM plans p
LEFT JOIN LATERAL (SELECT id, version, seat_count FROM plan_versions WHERE plan_id = p.id
                   ORDER BY version DESC LIMIT 1) v ON true
WHERE p.id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR p.organisation_id = %(scope)s)

-- list_plans --
-- The plans of a venue, with their latest versions, in the order in which they were added.
SELECT p.id, p.venue_id, p.name, v.version, v.id AS version_id, v.seat_count AS seats
FROM plans p
LEFT JOIN LATERAL (SELECT id, version, seat_count FROM plan_versions WHERE plan_id = p.id
                   ORDER BY version DESC LIMIT 1) v ON true
WHERE p.venue_id = %(venue_id)s AND p.id > %(starting_after)s
ORDER BY p.id LIMIT %(limit)s

-- list_versions --
-- The versions of a plan, and how many events are pinned to each.
SELECT v.id, v.version, v.seat_count AS seats, v.created_at,
    (SELECT count(*) FROM events e WHERE e.plan_version_id = v.id) AS events
FROM plan_versions v
WHERE v.plan_id = %(plan_id)s AND v.id > %(starting_after)s
ORDER BY v.id LIMIT %(limit)s

-- get_version --
-- A version of a plan, with what its import understood.
SELECT id AS version_id, version, seat_count AS seats, created_at, report FROM plan_versions
WHERE plan_id = %(plan_id)s AND id = %(version_id)s

-- draw_version --
-- The seats of a version as a picture needs them, in their order.
SELECT s.x, s.y, s.category, c.name, c.color, s.accessible, s.companion
FROM plan_versions v
JOIN plan_seats s ON s.plan_version_id = v.id
JOIN plan_categories c ON c.plan_version_id = v.id AND c.category = s.category
WHERE v.plan_id = %(plan_id)s AND v.id = %(version_id)s
ORDER BY s.seat

-- list_latest_seats --
-- The seats of the latest version of a plan.
SELECT v.version, s.guid, c.name AS category, s.zone,
    CASE WHEN s.printed_row <> '' THEN s.printed_row ELSE s.row_label END AS row, s.number, s.x, s.y,
    s.accessible, s.companion, s.restricted, s.general_admission
FROM plan_versions v
JOIN plan_seats s ON s.plan_version_id = v.id
JOIN plan_categories c ON c.plan_version_id = v.id AND c.category = s.category
WHERE v.plan_id = %(plan_id)s
    AND v.version = (SELECT max(version) FROM plan_versions WHERE plan_id = %(plan_id)s)

-- list_sold_seats_gone --
-- The seats that a version has not, and that are held or sold in events that are pinned to earlier
-- versions and not over.
SELECT e.id AS event_id, e.name, v.version, array_agg(p.guid ORDER BY p.seat) AS seats
FROM plan_versions n
JOIN plan_versions v ON v.plan_id = n.plan_id AND v.version < n.version
JOIN events e ON e.plan_version_id = v.id
JOIN seats s ON s.event_id = e.id AND s.state IN ('held', 'sold')
JOIN plan_seats p ON p.plan_version_id = v.id AND p.seat = s.seat
WHERE n.id = %(version_id)s AND e.state IN ('on_sale', 'closed') AND e.archive_month IS NULL
    AND NOT EXISTS (SELECT FROM plan_seats x WHERE x.plan_version_id = n.id AND x.guid = p.guid)
GROUP BY e.id, v.version ORDER BY e.id

-- lock_plan --
-- Locks a plan within the scope, so that its versions are added one after the other. Rows that refer to it
-- can be added meanwhile.
SELECT id, organisation_id, name FROM plans
WHERE id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
FOR NO KEY UPDATE

-- add_version --
-- Adds the next version of a plan that is locked.
INSERT INTO plan_versions (plan_id, version, source, seat_count, report)
SELECT %(plan_id)s, coalesce(max(version), 0) + 1, %(source)s, %(seat_count)s, %(report)s
FROM plan_versions WHERE plan_id = %(plan_id)s
RETURNING id AS version_id, version, created_at

-- add_categories --
-- Adds the categories of a plan version, numbered from 1 in the order of the plan.
INSERT INTO plan_categories (plan_version_id, category, name, color, ordinary_seats)
SELECT %(version_id)s, c.category, c.name, c.color, c.ordinary
FROM unnest(%(names)s::text[], %(colors)s::text[], %(ordinary)s::integer[])
    WITH ORDINALITY c(name, color, ordinary, category)

-- copy_seats --
-- Adds the seats of a plan version in bulk.
COPY plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion, restricted,
    general_admission, zone, row_label, printed_row, number, x, y) FROM STDIN
