-- find_version --
-- One row if a plan version is that of an event that was opened, or an earlier one of the same plan.
SELECT v.id FROM events e
JOIN plan_versions now ON now.id = e.plan_version_id
JOIN plan_versions v ON v.plan_id = now.plan_id AND v.version <= now.version
WHERE e.id = %(event_id)s AND e.state <> 'draft' AND v.id = %(plan_version_id)s

-- get_chart --
-- The compressed chart of a plan version, if it was made.
SELECT document FROM plan_charts
WHERE plan_version_id = %(plan_version_id)s AND format = %(format)s

-- keep_chart --
-- Keeps the chart of a plan version; one that was made at the same time is the same.
INSERT INTO plan_charts (plan_version_id, format, document)
VALUES (%(plan_version_id)s, %(format)s, %(document)s)
ON CONFLICT (plan_version_id, format) DO NOTHING

-- list_categories --
-- The categories of a plan version, by their numbers.
SELECT category, name, color FROM plan_categories
WHERE plan_version_id = %(plan_version_id)s ORDER BY category

-- list_seats --
-- The seats of a plan version as its chart shows them.
SELECT seat, category, zone, row_label AS row, printed_row, number, x, y, accessible, companion,
    restricted, general_admission AS standing
FROM plan_seats WHERE plan_version_id = %(plan_version_id)s

-- read_availability --
-- Snapshots of the free seats of an event, above a number, the newest first.
SELECT number, plan_version_id, free
FROM read_availability(%(event_id)s, %(known)s, make_interval(secs => %(fresh)s), %(limit)s)
