-- start_readings --
-- Enqueues a task for each account whose balance can be read.
SELECT enqueue('read_balance', 'maintenance', a.id::text, jsonb_build_object('account_id', a.id), p_priority => 80)
FROM gateway_accounts a
WHERE a.provider = 'stripe' AND a.state = 'active' AND a.real_account_id = a.id
    AND NOT EXISTS (SELECT FROM outages o WHERE o.gateway_account_id = a.id AND o.closed_at IS NULL)

-- begin_reading --
-- Begins to read an account's balance, or goes on. The window begins an hour before the end of the last one,
-- since the gateway may show a transaction late.
INSERT INTO balance_readings AS r (gateway_account_id, read_until, window_to)
VALUES (%(account_id)s, clock_timestamp() - %(first)s::interval, clock_timestamp())
ON CONFLICT (gateway_account_id) DO UPDATE SET window_to = coalesce(r.window_to, clock_timestamp())
RETURNING gateway_account_id, read_until - interval '1 hour' AS window_from, window_to, cursor

-- keep_transactions --
-- Keeps a page of balance transactions.
INSERT INTO balance_transactions (gateway_account_id, id, type, source, payment_ref, amount, fee, currency,
    made_at, available_at)
SELECT %(account_id)s, t.* FROM unnest(%(ids)s::text[], %(types)s::text[], %(sources)s::text[],
    %(payment_refs)s::text[], %(amounts)s::bigint[], %(fees)s::bigint[], %(currencies)s::text[],
    %(made_at)s::timestamptz[], %(available_at)s::timestamptz[]) t
ON CONFLICT (gateway_account_id, id) DO NOTHING

-- move_cursor --
-- Notes how far a reading has come; null: it is done.
UPDATE balance_readings
SET cursor = %(cursor)s, read_until = CASE WHEN %(cursor)s::text IS NULL THEN window_to ELSE read_until END,
    window_to = CASE WHEN %(cursor)s::text IS NOT NULL THEN window_to END
WHERE gateway_account_id = %(account_id)s

-- keep_payouts --
-- Keeps payouts as the gateway has them now.
INSERT INTO payouts AS p (gateway_account_id, gateway_ref, amount, currency, state, made_at, arrives_at, failure)
SELECT %(account_id)s, t.* FROM unnest(%(refs)s::text[], %(amounts)s::bigint[], %(currencies)s::text[],
    %(states)s::text[], %(made_at)s::timestamptz[], %(arrives_at)s::timestamptz[], %(failures)s::text[]) t
ON CONFLICT (gateway_account_id, gateway_ref) DO UPDATE
SET state = excluded.state, arrives_at = excluded.arrives_at, failure = excluded.failure

-- list_unread --
-- Payouts of an account whose transactions were not read yet.
SELECT gateway_ref FROM payouts
WHERE gateway_account_id = %(account_id)s AND read_at IS NULL ORDER BY id LIMIT 100

-- note_payout --
-- Notes which transactions a payout contains.
WITH noted AS (
    UPDATE balance_transactions SET payout_ref = %(payout_ref)s
    WHERE gateway_account_id = %(account_id)s AND id = ANY (%(ids)s)
)
UPDATE payouts SET read_at = CASE WHEN %(whole)s THEN clock_timestamp() END
WHERE gateway_account_id = %(account_id)s AND gateway_ref = %(payout_ref)s

-- list_payouts --
-- Payouts of an organisation's own accounts, the latest first, with the fees of what they contain.
SELECT p.id, p.gateway_account_id, p.gateway_ref, p.amount, p.currency, p.state, p.made_at, p.arrives_at,
    p.failure, t.transactions, t.gross, t.fee
FROM payouts p
JOIN gateway_accounts a ON a.id = p.gateway_account_id AND a.access <> 'platform' AND a.mode = 'live'
CROSS JOIN LATERAL (
    SELECT count(*) AS transactions, coalesce(sum(amount), 0)::bigint AS gross, coalesce(sum(fee), 0)::bigint AS fee
    FROM balance_transactions t
    WHERE t.gateway_account_id = p.gateway_account_id AND t.payout_ref = p.gateway_ref AND t.type <> 'payout') t
WHERE a.organisation_id = %(organisation_id)s
    AND (%(starting_after)s = 0 OR p.id < %(starting_after)s)
ORDER BY p.id DESC LIMIT %(limit)s

-- sum_fees --
-- The gateway's fees for an organisation's payments, by account and currency. Of an account that several share
-- only what is about the organisation's own payments counts.
SELECT g.id AS gateway_account_id, t.currency, count(*) AS transactions, sum(t.amount)::bigint AS amount,
    sum(t.fee)::bigint AS fee, sum(t.amount - t.fee)::bigint AS net
FROM gateway_accounts g
JOIN balance_transactions t ON t.gateway_account_id = g.real_account_id AND t.type <> 'payout'
WHERE g.organisation_id = %(organisation_id)s AND g.mode = 'live' AND t.made_at >= %(since)s AND t.made_at < %(until)s
    AND (g.access <> 'platform' OR EXISTS (
        SELECT FROM payments p WHERE p.gateway_ref = t.payment_ref AND p.gateway_account_id = g.id))
GROUP BY g.id, t.currency ORDER BY g.id, t.currency
