-- lock_event --
-- Locks an event for a change of its lobby, and tells whether an entry has joined: then it is too late,
-- because the draw gives the numbers from 1 on.
SELECT state, on_sale_at, clock_timestamp() AS now,
    coalesce(lobby_opens_at <= clock_timestamp(), false)
        OR EXISTS (SELECT FROM entries n WHERE n.event_id = e.id) AS begun
FROM events e
WHERE id = %(event_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
FOR UPDATE

-- set_times --
-- Sets the times of a lobby.
UPDATE events SET lobby_opens_at = %(opens_at)s, lobby_closes_at = %(closes_at)s
WHERE id = %(event_id)s

-- commit --
-- Commits to the secret, once; the source of the public value can be changed until the lobby opens.
INSERT INTO draws (event_id, secret, public_source)
VALUES (%(event_id)s, %(secret)s, %(public_source)s)
ON CONFLICT (event_id) DO UPDATE
SET public_source = excluded.public_source, committed_at = clock_timestamp()
WHERE draws.public_source IS DISTINCT FROM excluded.public_source

-- get_lobby --
-- The public view of a lobby, with the secret only after the draw.
SELECT d.event_id, e.lobby_opens_at AS opens_at, e.lobby_closes_at AS closes_at, e.on_sale_at,
    CASE WHEN d.drawn_at IS NOT NULL THEN 'drawn'
         WHEN d.value_given_at IS NOT NULL THEN 'drawing'
         WHEN d.closed_at IS NOT NULL THEN 'closed'
         WHEN clock_timestamp() >= e.lobby_closes_at THEN 'closing'
         WHEN clock_timestamp() >= e.lobby_opens_at THEN 'open'
         ELSE 'announced' END AS state,
    encode(d.commitment, 'hex') AS commitment, d.committed_at, d.public_source, d.closed_at,
    encode(d.list_sha256, 'hex') AS list_sha256, d.list_count, d.public_value, d.value_given_at,
    CASE WHEN d.drawn_at IS NOT NULL THEN encode(d.secret, 'hex') END AS secret,
    encode(d.seed, 'hex') AS seed, d.drawn_at, clock_timestamp() AS server_time
FROM events e JOIN draws d ON d.event_id = e.id
WHERE e.id = %(event_id)s AND e.state <> 'draft'

-- get_list --
-- The text of the published hash: sorted account ids, a line each.
SELECT array_to_string(accounts || NULL::bigint, E'\n', '') AS lines
FROM draws WHERE event_id = %(event_id)s AND closed_at IS NOT NULL

-- get_order --
-- The order of the draw: number and account, a line each.
SELECT (SELECT coalesce(string_agg(number || ' ' || account || E'\n', '' ORDER BY number), '')
        FROM unnest(drawn) WITH ORDINALITY o(account, number)) AS lines
FROM draws WHERE event_id = %(event_id)s AND drawn_at IS NOT NULL

-- lock_draw --
-- Locks a draw, so that its public value is given once.
SELECT d.public_source, d.public_value, d.closed_at, d.drawn_at
FROM draws d JOIN events e ON e.id = d.event_id
WHERE d.event_id = %(event_id)s
    AND (%(scope)s::bigint IS NULL OR e.organisation_id = %(scope)s)
FOR UPDATE OF d

-- give_value --
-- Stores the public value; the clock draws with it.
UPDATE draws SET public_value = %(public_value)s, value_given_at = clock_timestamp()
WHERE event_id = %(event_id)s AND closed_at IS NOT NULL AND public_value IS NULL

-- list_due --
-- Lobbies with a step that is due; latecomers are looked for up to a minute after the draw.
SELECT d.event_id
FROM draws d JOIN events e ON e.id = d.event_id
WHERE d.drawn_at IS NULL AND (
    d.closed_at IS NULL AND e.lobby_closes_at <= clock_timestamp()
    OR d.closed_at IS NOT NULL AND (d.public_source IS NULL OR d.public_value IS NOT NULL)
    OR (e.state <> 'on_sale' OR e.off_sale_at <= clock_timestamp()) AND EXISTS (
        SELECT FROM entries n WHERE n.event_id = e.id AND n.state = 'lobby'))
UNION
SELECT event_id FROM draws WHERE closed_at > clock_timestamp() - interval '1 min'
ORDER BY event_id

-- tend_lobby --
-- Takes all steps of a lobby that are due.
SELECT ended, closed, drawn, late FROM tend_lobby(%(event_id)s)

-- list_late --
-- Events on sale whose entries cannot be served, because the public value is missing or the draw fails.
SELECT d.event_id, e.on_sale_at, d.closed_at, d.public_source, d.public_value IS NOT NULL AS value_given
FROM draws d JOIN events e ON e.id = d.event_id
WHERE d.drawn_at IS NULL AND e.state = 'on_sale' AND e.on_sale_at <= clock_timestamp()
    AND e.off_sale_at > clock_timestamp()
ORDER BY d.event_id

-- move_latecomers --
-- Moves latecomers to the tail, even if their transaction took minutes to commit.
SELECT coalesce(sum(move_latecomers(event_id)), 0) AS moved
FROM draws d
WHERE EXISTS (SELECT FROM entries n WHERE n.event_id = d.event_id AND n.state = 'lobby')
