-- get_organisation --
-- An organisation and its settings.
SELECT id, name, address, vat_id, return_urls, suspended_at, suspension FROM organisations WHERE id = %(organisation_id)s

-- change_organisation --
-- Changes an organisation; null leaves a field as it is.
UPDATE organisations
SET name = coalesce(%(name)s, name), address = coalesce(%(address)s, address),
    vat_id = coalesce(%(vat_id)s, vat_id), return_urls = coalesce(%(return_urls)s, return_urls)
WHERE id = %(organisation_id)s
RETURNING id, name, address, vat_id, return_urls, suspended_at, suspension

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
