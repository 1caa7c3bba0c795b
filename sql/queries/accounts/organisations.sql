-- get_organisation --
-- An organisation and its settings.
SELECT id, name, address, vat_id, return_urls, test_mode, suspended_at, suspension FROM organisations WHERE id = %(organisation_id)s

-- change_organisation --
-- Changes an organisation; null leaves a field as it is.
UPDATE organisations
SET name = coalesce(%(name)s, name), address = coalesce(%(address)s, address),
    vat_id = coalesce(%(vat_id)s, vat_id), return_urls = coalesce(%(return_urls)s, return_urls),
    test_mode = coalesce(%(test_mode)s, test_mode)
WHERE id = %(organisation_id)s
RETURNING id, name, address, vat_id, return_urls, test_mode, suspended_at, suspension

-- set_suspension --
-- Suspends an organisation, or lifts that (the reason is null). Its lanes are looked at again.
WITH changed AS (
    UPDATE organisations
    SET suspension = %(reason)s::text,
        suspended_at = CASE WHEN %(reason)s::text IS NOT NULL THEN coalesce(suspended_at, clock_timestamp()) END
    WHERE id = %(organisation_id)s
    RETURNING id
), woken AS (
    INSERT INTO lane_wakes (event_id, kind)
    SELECT l.event_id, 'changed' FROM changed c JOIN events e ON e.organisation_id = c.id
    JOIN lanes l ON l.event_id = e.id WHERE e.state = 'on_sale'
)
SELECT id FROM changed

-- need_test_account --
-- An organisation's account for tests; the platform's, if it may be shared and there is none yet.
WITH own AS (
    SELECT id FROM gateway_accounts
    WHERE organisation_id = %(organisation_id)s AND provider = 'stripe' AND mode = 'test' AND state = 'active'
    LIMIT 1
), shared AS (
    INSERT INTO gateway_accounts (organisation_id, provider, mode)
    SELECT %(organisation_id)s, 'stripe', 'test' WHERE %(shared)s AND NOT EXISTS (SELECT FROM own)
    RETURNING id
)
SELECT id FROM own UNION ALL SELECT id FROM shared
