-- add_venue --
-- Adds a venue of an organisation.
INSERT INTO venues (organisation_id, name, city, time_zone)
VALUES (%(organisation_id)s, %(name)s, %(city)s, %(time_zone)s)
RETURNING id, organisation_id, name, city, time_zone

-- list_venues --
-- Venues of one organisation, or of all, in the order in which they were added.
SELECT id, organisation_id, name, city, time_zone FROM venues
WHERE (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s) AND id > %(starting_after)s
ORDER BY id LIMIT %(limit)s
