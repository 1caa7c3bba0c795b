-- keep_secret --
-- Keeps a sealed secret in its place, instead of one that was there.
INSERT INTO sealed_secrets AS s (purpose, owner, organisation_id, sealed)
VALUES (%(purpose)s, %(owner)s, %(organisation_id)s, %(sealed)s)
ON CONFLICT (purpose, owner) DO UPDATE
SET organisation_id = excluded.organisation_id, sealed = excluded.sealed, sealed_at = clock_timestamp()

-- find_secret --
-- The sealed secret of a place.
SELECT sealed FROM sealed_secrets
WHERE purpose = %(purpose)s AND owner = %(owner)s
    AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s

-- forget_secret --
-- Deletes the secret of a place.
DELETE FROM sealed_secrets WHERE purpose = %(purpose)s AND owner = %(owner)s

-- list_key_ids --
-- How many secrets each key has sealed.
SELECT split_part(sealed, '.', 1) AS key_id, count(*) AS secrets
FROM sealed_secrets GROUP BY 1 ORDER BY 1

-- list_sealed_before --
-- Secrets that another key has sealed than the present one.
SELECT purpose, owner, organisation_id, sealed FROM sealed_secrets
WHERE split_part(sealed, '.', 1) <> %(key_id)s
    AND (purpose, owner) > (%(after_purpose)s, %(after_owner)s)
ORDER BY purpose, owner LIMIT %(limit)s

-- replace_sealed --
-- Replaces a secret by the same secret under another key, unless it was changed or deleted since.
UPDATE sealed_secrets SET sealed = %(sealed)s, sealed_at = clock_timestamp()
WHERE purpose = %(purpose)s AND owner = %(owner)s AND sealed = %(before)s
RETURNING owner
