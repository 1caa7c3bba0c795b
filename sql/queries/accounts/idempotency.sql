-- lock_key --
-- False: the same request is in flight. Taken before the key is read, in a statement of its own, so
-- that what the other one committed is seen.
SELECT pg_try_advisory_xact_lock(
    hashtextextended(concat_ws(' ', %(principal)s::text, %(route)s::text, %(key)s::text), 0)) AS free

-- find_answer --
-- What was answered to this key.
SELECT request_sha256, status, response FROM idempotency_keys
WHERE principal = %(principal)s AND route = %(route)s AND key = %(key)s

-- keep_answer --
-- Committed together with what the request did.
INSERT INTO idempotency_keys (principal, route, key, request_sha256, status, response)
VALUES (%(principal)s, %(route)s, %(key)s, %(sha256)s, %(status)s, %(response)s)
