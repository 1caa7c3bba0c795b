-- get_organisation --
-- An organisation and its settings.
SELECT id, name, address, vat_id, return_urls FROM organisations WHERE id = %(organisation_id)s

-- change_organisation --
-- Changes an organisation; null leaves a field as it is.
UPDATE organisations
SET name = coalesce(%(name)s, name), address = coalesce(%(address)s, address),
    vat_id = coalesce(%(vat_id)s, vat_id), return_urls = coalesce(%(return_urls)s, return_urls)
WHERE id = %(organisation_id)s
RETURNING id, name, address, vat_id, return_urls
