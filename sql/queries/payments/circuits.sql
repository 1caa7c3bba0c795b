-- take_turn --
-- A turn at an endpoint, and what the account's circuit says of it.
SELECT * FROM take_turn(%(account_id)s, %(endpoint)s, %(per_second)s, %(account_per_second)s,
    %(burst)s, %(book)s, %(wait)s, %(probe)s)

-- pause_turns --
-- After a refusal for calling too often.
SELECT pause_turns(%(account_id)s, %(endpoint)s, %(seconds)s)

-- has_opened --
-- Whether the gateway was found away since a turn was given.
SELECT state = 'open' AS opened FROM gateway_circuits WHERE gateway_account_id = %(account_id)s

-- count_failure --
-- One more in a row, if the circuit is still closed.
UPDATE gateway_circuits SET failures = failures + 1
WHERE gateway_account_id = %(account_id)s AND state = 'closed'
RETURNING failures

-- forget_failures --
-- The gateway answered.
UPDATE gateway_circuits SET failures = 0
WHERE gateway_account_id = %(account_id)s AND state = 'closed' AND failures > 0

-- open_circuit --
-- The gateway cannot be used from now on; an outage begins.
SELECT open_circuit(%(account_id)s, %(probe)s, %(rest)s, %(longest)s) AS done

-- close_circuit --
-- The gateway can be used again; the outage is over.
SELECT close_circuit(%(account_id)s, %(probe)s) AS done

-- probe_gateways --
-- A task for each gateway that could not be used lately: while lanes wait for it, no other call asks.
SELECT enqueue('probe_gateway', 'payments', gateway_account_id::text,
    jsonb_build_object('account_id', gateway_account_id))
FROM outages WHERE closed_at IS NULL
