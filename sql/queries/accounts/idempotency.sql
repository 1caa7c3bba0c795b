-- lock_key --
-- Locks an idempotency key; false: the same request is in flight. A separate statement before
-- find_answer, so that find_answer sees what the other request committed.
SELECT pg_try_advisory_xact_lock(
    hashtextextended(concat_ws(' ', %(principal)s::text, %(route)s::text, %(key)s::text), 0)) AS free

-- find_answer --
-- The answer that was kept under this key; an earlier version kept it under the path as it was sent.
SELECT request_sha256, status, response FROM idempotency_keys
WHERE principal = %(principal)s AND route IN (%(route)s, %(spelt_route)s) AND key = %(key)s
ORDER BY route = %(route)s DESC LIMIT 1

-- keep_answer --
-- Keeps an answer, in the transaction of the request's effect.
INSERT INTO idempotency_keys (principal, route, key, request_sha256, status, response)
VALUES (%(principal)s, %(route)s, %(key)s, %(sha256)s, %(status)s, %(response)s)
