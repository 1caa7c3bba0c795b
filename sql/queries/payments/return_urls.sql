-- list_allowed --
-- The addresses to which the organisation of an event lets buyers be sent.
SELECT unnest(o.return_urls) AS address
FROM events e JOIN organisations o ON o.id = e.organisation_id
WHERE e.id = %(event_id)s
