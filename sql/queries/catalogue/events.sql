-- find_parts --
-- The parts of a new event, if all belong to one organisation within the scope: the categories of the
-- plan version, and the given gateway account, or else the organisation's last that can take money.
SELECT v.organisation_id, v.time_zone,
    (SELECT g.id FROM gateway_accounts g
     WHERE g.organisation_id = v.organisation_id AND g.provider = 'stripe'
        AND g.state = 'active' AND g.mode = (
            SELECT CASE WHEN o.test_mode THEN 'test' ELSE 'live' END FROM organisations o
            WHERE o.id = v.organisation_id)
        AND g.id = coalesce(%(gateway_account_id)s::bigint, g.id)
     ORDER BY g.id DESC LIMIT 1) AS gateway_account_id,
    (SELECT jsonb_object_agg(c.category, c.name) FROM plan_categories c
     WHERE c.plan_version_id = pv.id
        AND EXISTS (SELECT FROM plan_seats s
                    WHERE s.plan_version_id = pv.id AND s.category = c.category)) AS categories
FROM venues v
LEFT JOIN plan_versions pv ON pv.id = %(plan_version_id)s
    AND EXISTS (SELECT FROM plans p WHERE p.id = pv.plan_id AND p.venue_id = v.id)
WHERE v.id = %(venue_id)s AND (%(scope)s::bigint IS NULL OR v.organisation_id = %(scope)s)

-- add_event --
-- Adds an event as a draft.
INSERT INTO events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, starts_at,
    on_sale_at, off_sale_at, time_zone, currency, booking_fee, booking_fee_tax_rate, seats_per_buyer,
    hold_seconds, terms, gated, claim_seconds, grace_seconds, pass_seconds, payment_methods,
    offline_instructions, accessible_release_seconds, is_test, offline_seconds, offline_account_id)
VALUES (%(organisation_id)s, %(venue_id)s, %(plan_version_id)s, %(gateway_account_id)s, %(name)s,
    %(starts_at)s, %(on_sale_at)s, %(off_sale_at)s, %(time_zone)s, %(currency)s, %(booking_fee)s,
    %(booking_fee_tax_rate)s, %(seats_per_buyer)s, %(hold_seconds)s, %(terms)s, %(gated)s,
    %(claim_seconds)s, %(grace_seconds)s, %(pass_seconds)s, %(payment_methods)s,
    %(offline_instructions)s, %(accessible_release_seconds)s,
    (SELECT mode = 'test' FROM gateway_accounts WHERE id = %(gateway_account_id)s), %(offline_seconds)s, CASE WHEN %(offline_seconds)s::integer IS NOT NULL
        THEN offline_account(%(organisation_id)s) END)
RETURNING id

-- set_prices --
-- Replaces the prices of a draft. Categories that its plan does not have are left out.
WITH gone AS (
    DELETE FROM event_categories WHERE event_id = %(event_id)s AND category <> ALL (%(categories)s)
)
INSERT INTO event_categories (event_id, category, name, price, fee, tax_rate)
SELECT e.id, c.category, c.name, n.price, n.fee, n.tax_rate
FROM unnest(%(categories)s::integer[], %(prices)s::bigint[], %(fees)s::bigint[],
        %(tax_rates)s::numeric[]) n(category, price, fee, tax_rate)
JOIN events e ON e.id = %(event_id)s
JOIN plan_categories c ON c.plan_version_id = e.plan_version_id AND c.category = n.category
ON CONFLICT (event_id, category) DO UPDATE
SET name = excluded.name, price = excluded.price, fee = excluded.fee, tax_rate = excluded.tax_rate

-- check_event --
-- The first error across the fields of an event; no row: there is none. begins: whether the event has to
-- begin later than now.
SELECT w.reason, w.path, w.method, w.amount, w.bound, c.code AS currency, c.exponent, c.step
FROM events e
JOIN currencies c ON c.code = e.currency
CROSS JOIN LATERAL (
    SELECT 1 AS place, reason, path, NULL AS method, NULL::bigint AS amount, NULL::bigint AS bound
    FROM check_times(e.id, %(begins)s)
    UNION ALL
    SELECT 2, reason, path, method, NULL, NULL FROM check_methods(e.id)
    UNION ALL
    SELECT 3, reason, path, NULL, amount, bound FROM check_prices(e.id)) w
WHERE e.id = %(event_id)s AND w.reason IS NOT NULL
ORDER BY w.place LIMIT 1

-- get_event --
-- An event with its venue and prices. scope: the organisation whose drafts are shown; -1: no drafts,
-- null: all drafts.
SELECT e.id, e.name, e.state, e.starts_at, e.on_sale_at, e.off_sale_at, e.time_zone, e.currency,
    e.booking_fee, e.booking_fee_tax_rate, e.seats_per_buyer, e.hold_seconds, e.gated,
    e.claim_seconds, e.grace_seconds, e.pass_seconds, e.terms, e.payment_methods, e.offline_seconds,
    e.offline_instructions, e.accessible_release_seconds, e.accessible_released_at, e.organisation_id,
    e.plan_version_id, e.is_test,
    jsonb_build_object('id', v.id, 'name', v.name, 'city', v.city, 'time_zone', v.time_zone) AS venue,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('category', c.category, 'name', c.name,
            'price_type', c.price_type, 'price', c.price, 'fee', c.fee, 'tax_rate', c.tax_rate) ORDER BY c.category), '[]')
     FROM event_categories c WHERE c.event_id = e.id) AS categories,
    clock_timestamp() AS server_time
FROM events e JOIN venues v ON v.id = e.venue_id
WHERE e.id = %(event_id)s
    AND (e.state <> 'draft' OR %(scope)s::bigint IS NULL OR e.organisation_id = %(scope)s)

-- list_events --
-- Events that are on sale or announced, in the order in which they were added; no tests.
SELECT e.id, e.name, e.state, e.starts_at, e.on_sale_at, e.off_sale_at, e.time_zone, e.currency,
    jsonb_build_object('id', v.id, 'name', v.name, 'city', v.city, 'time_zone', v.time_zone) AS venue
FROM events e JOIN venues v ON v.id = e.venue_id
WHERE e.state = 'on_sale' AND NOT e.is_test AND e.off_sale_at > clock_timestamp() AND e.id > %(starting_after)s
ORDER BY e.id LIMIT %(limit)s

-- list_own_events --
-- Events of an organisation that are all that is wanted, in the order in which they were added.
SELECT e.id, e.name, e.state, e.starts_at, e.on_sale_at, e.off_sale_at, e.time_zone, e.currency,
    jsonb_build_object('id', v.id, 'name', v.name, 'city', v.city, 'time_zone', v.time_zone) AS venue
FROM events e JOIN venues v ON v.id = e.venue_id
WHERE e.organisation_id = %(organisation_id)s AND (%(state)s::text IS NULL OR e.state = %(state)s)
    AND (%(venue_id)s::bigint IS NULL OR e.venue_id = %(venue_id)s)
    AND (%(name)s::text IS NULL OR strpos(lower(e.name), lower(%(name)s)) > 0)
    AND (%(starts_from)s::timestamptz IS NULL OR e.starts_at >= %(starts_from)s)
    AND (%(starts_before)s::timestamptz IS NULL OR e.starts_at < %(starts_before)s)
    AND e.id > %(starting_after)s
ORDER BY e.id LIMIT %(limit)s

-- copy_event --
-- The fields of an event that is to be copied, and its prices.
SELECT e.venue_id, e.plan_version_id, e.gateway_account_id, e.name, e.starts_at, e.on_sale_at, e.off_sale_at,
    e.time_zone, e.currency, e.booking_fee, e.booking_fee_tax_rate, e.seats_per_buyer, e.hold_seconds, e.terms,
    e.gated, e.claim_seconds, e.grace_seconds, e.pass_seconds, e.payment_methods, e.offline_instructions,
    e.offline_seconds, e.accessible_release_seconds,
    (SELECT jsonb_agg(jsonb_build_object('category', c.category, 'price', c.price, 'fee', c.fee,
        'tax_rate', c.tax_rate::text)) FROM event_categories c WHERE c.event_id = e.id) AS prices
FROM events e
WHERE e.id = %(event_id)s AND (%(scope)s::bigint IS NULL OR e.organisation_id = %(scope)s)

-- check_owner --
-- One row if the event is within the scope.
SELECT id FROM events
WHERE id = %(event_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)

-- lock_event --
-- Locks an event within the scope, so that organisers change it one after the other. begun: its sale has
-- begun.
SELECT e.*, off_sale_at <= clock_timestamp() AS over, on_sale_at <= clock_timestamp() AS begun,
    EXISTS (SELECT FROM event_categories c WHERE c.event_id = e.id AND c.price + c.fee > 0) AS priced
FROM events e
WHERE id = %(event_id)s AND (%(scope)s::bigint IS NULL OR organisation_id = %(scope)s)
FOR UPDATE

-- lock_sale --
-- Waits for holds of the event that are just made, and keeps others waiting.
SELECT lock_sale(%(event_id)s, true)

-- change_event --
-- Changes an event whose row is locked; null leaves a field as it is.
UPDATE events
SET name = coalesce(%(name)s, name), starts_at = coalesce(%(starts_at)s, starts_at),
    on_sale_at = coalesce(%(on_sale_at)s, on_sale_at),
    off_sale_at = coalesce(%(off_sale_at)s, off_sale_at),
    time_zone = coalesce(%(time_zone)s, time_zone), currency = coalesce(%(currency)s, currency),
    booking_fee = coalesce(%(booking_fee)s, booking_fee),
    booking_fee_tax_rate = coalesce(%(booking_fee_tax_rate)s, booking_fee_tax_rate),
    seats_per_buyer = coalesce(%(seats_per_buyer)s, seats_per_buyer),
    hold_seconds = coalesce(%(hold_seconds)s, hold_seconds), terms = coalesce(%(terms)s, terms),
    gated = coalesce(%(gated)s, gated), claim_seconds = coalesce(%(claim_seconds)s, claim_seconds),
    grace_seconds = coalesce(%(grace_seconds)s, grace_seconds),
    pass_seconds = coalesce(%(pass_seconds)s, pass_seconds),
    payment_methods = coalesce(%(payment_methods)s, payment_methods),
    offline_instructions = coalesce(%(offline_instructions)s, offline_instructions),
    accessible_release_seconds = CASE WHEN %(set_release)s THEN %(accessible_release_seconds)s
        ELSE accessible_release_seconds END,
    offline_seconds = CASE WHEN %(set_offline)s THEN %(offline_seconds)s ELSE offline_seconds END,
    offline_account_id = CASE WHEN NOT %(set_offline)s THEN offline_account_id
        WHEN %(offline_seconds)s::integer IS NOT NULL THEN offline_account(organisation_id) END
WHERE id = %(event_id)s

-- change_prices --
-- Changes prices of an event that was opened, whose sale is locked.
SELECT change_prices(%(event_id)s, %(categories)s, %(prices)s, %(fees)s, %(tax_rates)s)

-- open_event --
-- Makes the seats, the lane and the sequence of numbers, when an event is opened for the first time.
SELECT open_event(%(event_id)s)

-- delete_draft --
-- Deletes a draft whose row is locked, with its prices.
WITH prices AS (
    DELETE FROM event_categories WHERE event_id = %(event_id)s
), parts AS (
    DELETE FROM allocations WHERE event_id = %(event_id)s
)
DELETE FROM events WHERE id = %(event_id)s AND state = 'draft'

-- find_version --
-- One row if a plan version belongs to the venue of an event, or is of the plan that it has.
SELECT v.id FROM plan_versions v JOIN plans p ON p.id = v.plan_id
JOIN events e ON e.venue_id = p.venue_id
    OR p.id = (SELECT plan_id FROM plan_versions WHERE id = e.plan_version_id)
WHERE e.id = %(event_id)s AND v.id = %(plan_version_id)s

-- set_version --
-- Pins a draft to another plan version; its prices are set afterwards.
UPDATE events e SET plan_version_id = %(version_id)s
FROM events o WHERE e.id = %(event_id)s AND e.state = 'draft' AND o.id = e.id
RETURNING o.plan_version_id AS old

-- list_prices --
-- The prices of an event, as the audit log has them.
SELECT category, price, fee, tax_rate::float8 FROM event_categories
WHERE event_id = %(event_id)s ORDER BY category

-- move_event --
-- Moves an event whose row is locked to another plan version.
SELECT outcome, names FROM move_event(%(event_id)s, %(plan_version_id)s)

-- set_state --
-- Changes the state of an event if it is in the expected one.
UPDATE events SET state = %(new)s WHERE id = %(event_id)s AND state = %(old)s RETURNING id

-- list_plan_categories --
-- The categories of the seats of an event's plan version.
SELECT DISTINCT s.category FROM plan_seats s
JOIN events e ON e.plan_version_id = s.plan_version_id
WHERE e.id = %(event_id)s

-- change_lane --
-- Changes what an organiser sets of a lane; null leaves a field as it is.
UPDATE lanes l
SET paused = coalesce(%(paused)s, l.paused), weight = coalesce(%(weight)s, l.weight),
    in_flight_cap = CASE WHEN %(set_cap)s THEN %(in_flight_cap)s ELSE l.in_flight_cap END,
    admission_rate = CASE WHEN %(set_rate)s THEN %(admission_rate)s ELSE l.admission_rate END
FROM events e
WHERE l.event_id = %(event_id)s AND e.id = l.event_id
    AND (%(scope)s::bigint IS NULL OR e.organisation_id = %(scope)s)
RETURNING l.event_id AS id, l.weight, l.paused, l.in_flight_cap, l.admission_rate

-- list_changes --
-- The changes to an event in the audit log, the latest first; what was only read is left out.
SELECT a.id, a.at, a.actor, a.action, a.detail || coalesce(p.personal, '{}') AS detail
FROM audit_log a LEFT JOIN audit_personal p ON p.act_id = a.id
WHERE a.event_id = %(event_id)s AND (%(starting_after)s = 0 OR a.id < %(starting_after)s)
    AND a.action NOT LIKE '%% read'
ORDER BY a.id DESC LIMIT %(limit)s

-- block_seats --
-- Blocks or unblocks seats: all or none.
SELECT outcome, guids FROM block_seats(%(event_id)s, %(scope)s, %(guids)s, %(block)s)
