-- list_functions --
-- Functions of our schema, but those of extensions and of other owners. version: changes whenever one is
-- created anew.
SELECT p.oid::bigint AS id, p.xmin::text AS version FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace AND pg_has_role(p.proowner, 'MEMBER') AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')

-- plan_cleanup --
-- What is to be done about functions of our schema, of which %(outdated)s are not of this version: statements,
-- and whether they mark one that is dropped later. One is dropped at once where a function of this version
-- takes its calls: one of the same name with further parameters, which have defaults. Others are marked, and
-- dropped when they have been so for a day. One that a trigger, a column or a view uses stays.
WITH f AS (
    SELECT p.*, p.oid::bigint = ANY (%(outdated)s) AS is_outdated,
        substring(obj_description(p.oid, 'pg_proc') FROM '^Of an earlier version, seen (.*)$')::timestamptz
            AS seen_at
    FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
), todo AS (
    SELECT f.oid, CASE
        WHEN NOT is_outdated THEN CASE WHEN seen_at IS NOT NULL THEN 'clear' END
        WHEN EXISTS (
            SELECT FROM pg_depend d
            WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = f.oid) THEN NULL
        WHEN seen_at < clock_timestamp() - interval '1 day' OR EXISTS (
            SELECT FROM f n
            WHERE n.proname = f.proname AND NOT n.is_outdated AND n.pronargs > f.pronargs
                AND n.pronargs - n.pronargdefaults <= f.pronargs
                AND (n.proargtypes::oid[])[0:f.pronargs - 1] = (f.proargtypes::oid[])[0:f.pronargs - 1]
                AND (n.proargnames)[1:f.pronargs] = (f.proargnames)[1:f.pronargs]) THEN 'drop'
        WHEN seen_at IS NULL THEN 'mark' END AS what
    FROM f
)
SELECT oid::regprocedure::text AS signature, what = 'mark' AS is_marked, CASE what
    WHEN 'drop' THEN format('DROP ROUTINE %%s', oid::regprocedure)
    WHEN 'mark' THEN format('COMMENT ON ROUTINE %%s IS %%L', oid::regprocedure,
        'Of an earlier version, seen ' || clock_timestamp())
    ELSE format('COMMENT ON ROUTINE %%s IS NULL', oid::regprocedure) END AS statement
FROM todo WHERE what IS NOT NULL ORDER BY signature
