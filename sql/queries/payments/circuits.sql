-- take_slots --
-- Takes slots at an endpoint, if the account's circuit allows it.
SELECT * FROM take_slots(%(account_id)s, %(endpoint)s, %(per_second)s, %(account_per_second)s,
    %(burst)s, %(book)s, %(wait)s, %(probe)s, %(count)s)

-- pause_slots --
-- Gives no slots at an endpoint for some seconds.
SELECT pause_slots(%(account_id)s, %(endpoint)s, %(seconds)s)

-- has_opened --
-- Tells whether the circuit has opened since a slot was given.
SELECT state = 'open' AS opened FROM gateway_circuits WHERE gateway_account_id = %(account_id)s

-- count_failure --
-- Counts one more failure in a row, if the circuit is closed.
UPDATE gateway_circuits SET failures = failures + 1
WHERE gateway_account_id = %(account_id)s AND state = 'closed'
RETURNING failures

-- forget_failures --
-- Ends a row of failures: the gateway answered.
UPDATE gateway_circuits SET failures = 0
WHERE gateway_account_id = %(account_id)s AND state = 'closed' AND failures > 0

-- open_circuit --
-- Opens a circuit; an outage begins.
SELECT open_circuit(%(account_id)s, %(probe)s, %(open_seconds)s, %(longest)s) AS done

-- refuse_key --
-- Opens a circuit because the gateway does not accept the account's key.
SELECT refuse_key(%(account_id)s, %(open_seconds)s, %(longest)s) AS done

-- end_refusal --
-- Makes the circuit of an account ready for a probe at once: its key was changed.
UPDATE gateway_circuits SET retry_at = clock_timestamp()
WHERE gateway_account_id = %(account_id)s AND state = 'open'

-- close_circuit --
-- Closes a circuit; the outage ends.
SELECT close_circuit(%(account_id)s, %(probe)s) AS done

-- probe_gateways --
-- Adds a probe's task for each circuit that is not closed: while its lanes rest, there are no other calls.
SELECT enqueue('probe_gateway', 'payments', a.id::text, jsonb_build_object('account_id', a.id))
FROM outages o JOIN gateway_accounts a ON a.id = o.gateway_account_id
WHERE o.closed_at IS NULL AND a.real_account_id = a.id
