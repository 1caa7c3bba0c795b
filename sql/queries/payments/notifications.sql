-- is_recent --
-- Compares a signature's time with the database's clock, because that of a web process may be wrong.
SELECT to_timestamp(%s) > clock_timestamp() - make_interval(secs => %s) AS recent

-- take_notification --
-- Takes a notification: if it is news, it is stored once, with the tasks that read the objects it is about.
SELECT take_notification(%(signed_at)s, %(tolerance)s, %(account)s, %(id)s, %(type)s, %(payload)s,
    %(payment_id)s, %(gateway_ref)s, %(says)s, %(object_id)s, %(refund_id)s, %(refund_gateway_ref)s,
    %(refund_says)s, %(trace)s, %(signer)s) AS taken
