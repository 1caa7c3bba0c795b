-- add_plan --
-- A hall's plan, still without a version.
INSERT INTO plans (organisation_id, venue_id, name)
SELECT organisation_id, id, %(name)s FROM venues
WHERE id = %(venue_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
RETURNING id

-- check_venue --
-- Whether the caller may add plans to a hall.
SELECT id FROM venues
WHERE id = %(venue_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- check_plan --
-- Whether the caller may add versions to a plan.
SELECT id FROM plans
WHERE id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- lock_plan --
-- Versions of a plan are made one after the other.
SELECT id, name FROM plans
WHERE id = %(plan_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
FOR UPDATE

-- earlier_numbers --
-- The integer of every seat that any version of the plan ever had.
SELECT DISTINCT s.guid, s.seat
FROM plan_versions v JOIN plan_seats s ON s.plan_version_id = v.id
WHERE v.plan_id = %(plan_id)s

-- add_version --
-- The next version of a plan that the caller has locked.
INSERT INTO plan_versions (plan_id, version, source, seat_count)
SELECT %(plan_id)s, coalesce(max(version), 0) + 1, %(source)s, %(seat_count)s
FROM plan_versions WHERE plan_id = %(plan_id)s
RETURNING id, version

-- add_categories --
-- Numbered from 1, in the order of the plan.
INSERT INTO plan_categories (plan_version_id, category, name, color)
SELECT %(version_id)s, c.category, c.name, c.color
FROM unnest(%(names)s::text[], %(colors)s::text[]) WITH ORDINALITY c(name, color, category)

-- copy_seats --
-- Many at once.
COPY plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion, restricted,
    general_admission, zone, row_label, number, x, y) FROM STDIN
