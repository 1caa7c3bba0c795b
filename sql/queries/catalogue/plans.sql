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

-- check_plan --
-- One row if the plan is within the scope.
SELECT id FROM plans
WHERE id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- lock_plan --
-- Locks a plan within the scope, so that its versions are added one after the other.
SELECT id, name FROM plans
WHERE id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
FOR UPDATE

-- earlier_numbers --
-- The number of every seat of all versions of a plan.
SELECT DISTINCT s.guid, s.seat
FROM plan_versions v JOIN plan_seats s ON s.plan_version_id = v.id
WHERE v.plan_id = %(plan_id)s

-- add_version --
-- Adds the next version of a plan that is locked.
INSERT INTO plan_versions (plan_id, version, source, seat_count)
SELECT %(plan_id)s, coalesce(max(version), 0) + 1, %(source)s, %(seat_count)s
FROM plan_versions WHERE plan_id = %(plan_id)s
RETURNING id, version

-- add_categories --
-- Adds the categories of a plan version, numbered from 1 in the order of the plan.
INSERT INTO plan_categories (plan_version_id, category, name, color)
SELECT %(version_id)s, c.category, c.name, c.color
FROM unnest(%(names)s::text[], %(colors)s::text[]) WITH ORDINALITY c(name, color, category)

-- copy_seats --
-- Adds the seats of a plan version in bulk.
COPY plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion, restricted,
    general_admission, zone, row_label, number, x, y) FROM STDIN
