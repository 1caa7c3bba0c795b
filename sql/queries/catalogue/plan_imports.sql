-- start_plan_import --
-- Stores a large plan, and adds the task that reads it.
SELECT outcome, import_id FROM start_plan_import(%(scope)s, %(venue_id)s, %(plan_id)s, %(name)s, %(source)s,
    %(strict)s, %(guess)s, %(unrelated)s)

-- get_import --
-- An import within the scope.
SELECT id, venue_id, plan_id, plan_version_id AS version_id, state, progress, failure, created_at,
    finished_at
FROM plan_imports
WHERE id = %(import_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- list_imports --
-- The imports of a venue, the latest first.
SELECT id, venue_id, plan_id, plan_version_id AS version_id, state, progress, failure, created_at,
    finished_at
FROM plan_imports
WHERE venue_id = %(venue_id)s AND (%(starting_after)s = 0 OR id < %(starting_after)s)
ORDER BY id DESC LIMIT %(limit)s

-- begin_import --
-- Begins to read a plan, from its beginning; no row: the import has ended.
UPDATE plan_imports SET state = 'reading', progress = 0
WHERE id = %(import_id)s AND state IN ('waiting', 'reading')
RETURNING id, venue_id, plan_id, name, strict, guess, unrelated, source

-- write_progress --
-- Writes how far an import is.
UPDATE plan_imports SET progress = %(progress)s WHERE id = %(import_id)s AND state = 'reading'

-- finish_import --
-- Ends an import whose version is stored; the uploaded file is not needed any more.
UPDATE plan_imports
SET state = 'done', plan_id = %(plan_id)s, plan_version_id = %(version_id)s, source = NULL, progress = 1,
    finished_at = clock_timestamp()
WHERE id = %(import_id)s AND state = 'reading'

-- fail_import --
-- Ends an import that stored nothing.
UPDATE plan_imports
SET state = 'failed', failure = %(failure)s, source = NULL, finished_at = clock_timestamp()
WHERE id = %(import_id)s AND state IN ('waiting', 'reading')
