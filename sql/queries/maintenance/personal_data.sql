-- request_erasure --
-- Erases an account's personal data, now or as soon as nothing is under way.
SELECT state, because FROM request_erasure(%(account_id)s)

-- get_erasure --
-- The wish to have an account's personal data erased, or that there is none.
SELECT CASE WHEN e.account_id IS NULL THEN 'none' WHEN e.erased_at IS NULL THEN 'postponed' ELSE 'erased' END
    AS state, coalesce(e.because, '{}') AS because, e.requested_at, e.checked_at, e.erased_at
FROM accounts a LEFT JOIN erasures e ON e.account_id = a.id WHERE a.id = %(account_id)s

-- list_erasures --
-- Erasures that are postponed, the oldest accounts first, after the given one.
SELECT account_id AS id, account_id, 'postponed' AS state, because, requested_at, checked_at, erased_at
FROM erasures WHERE erased_at IS NULL AND account_id > %(starting_after)s
ORDER BY account_id LIMIT %(limit)s

-- withdraw_erasure --
-- Withdraws a wish that waits.
DELETE FROM erasures WHERE account_id = %(account_id)s AND erased_at IS NULL RETURNING account_id

-- erase_due --
-- Tries postponed erasures again, and begins those of accounts that were closed long ago.
SELECT erase_due(%(limit)s, %(days)s) AS erased

-- sweep_erased --
-- Erases what came in about accounts after their erasure.
SELECT sweep_erased(%(limit)s) AS swept

-- export_page --
-- What is kept about an account's person, from one place on.
SELECT export_page(%(account_id)s, %(starting_after)s, %(limit)s) AS document

-- request_export --
-- Asks for an export of an account's personal data.
SELECT request_export(%(account_id)s)

-- get_export --
-- An account's export, and how many parts of it are written.
SELECT e.requested_at, e.finished_at, e.finished_at + interval '7 days' AS expires_at,
    (SELECT count(*) FROM personal_export_parts p WHERE p.account_id = e.account_id) AS parts
FROM personal_exports e WHERE e.account_id = %(account_id)s

-- write_export_part --
-- Writes the next part of an account's export.
SELECT write_export_part(%(account_id)s, %(limit)s) AS more

-- get_export_part --
-- A part of an export that is finished.
SELECT p.document FROM personal_exports e JOIN personal_export_parts p ON p.account_id = e.account_id
WHERE e.account_id = %(account_id)s AND e.finished_at IS NOT NULL AND p.part = %(part)s
