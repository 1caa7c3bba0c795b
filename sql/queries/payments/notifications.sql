-- is_recent --
-- Compares a signature's time with the database's clock, because that of a web process may be wrong.
SELECT to_timestamp(%s) > clock_timestamp() - make_interval(secs => %s) AS recent

-- take_notification --
-- Stores a notification once, with the tasks that read the objects it is about.
SELECT * FROM take_notification(%(id)s, %(type)s, %(payload)s, %(payment_id)s, %(gateway_ref)s, %(says)s,
    %(money_back)s, %(object_id)s, %(refund_id)s, %(refund_gateway_ref)s, %(refund_says)s)

-- take_back --
-- Deletes a notification, so that it can be stored again.
DELETE FROM notification_inbox WHERE id = %(id)s
