-- is_recent --
-- The clock of a web process may be wrong.
SELECT to_timestamp(%s) > clock_timestamp() - make_interval(secs => %s) AS recent

-- take_notification --
-- Stored once, with the tasks that look at what it is about.
SELECT * FROM take_notification(%(id)s, %(type)s, %(payload)s, %(payment_id)s, %(gateway_ref)s, %(says)s,
    %(money_back)s, %(object_id)s, %(refund_id)s, %(refund_gateway_ref)s, %(refund_says)s)

-- take_back --
-- As if it had not been stored.
DELETE FROM webhook_inbox WHERE id = %(id)s
