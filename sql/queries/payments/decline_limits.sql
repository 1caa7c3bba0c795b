-- decline_room --
-- Whether another attempt to pay may be started: 'go', 'wait' or 'refuse'.
SELECT decline_room(%(event_id)s, %(buyer_id)s, %(address_hash)s, %(limits)s) AS verdict

-- admit_attempt --
-- Whether an attempt may be sent to the gateway: 'go', 'wait' (and in how many seconds to ask again) or
-- 'refuse'.
SELECT verdict, CASE verdict WHEN 'wait' THEN room_expected(%(event_id)s, %(payment_id)s) END AS seconds
FROM admit_attempt(%(event_id)s, %(payment_id)s, %(limits)s) verdict

-- send_attempts --
-- Marks those attempts as sent that may be sent to the gateway now.
SELECT send_attempts(%(event_ids)s, %(payment_ids)s, %(limits)s) AS payment_id

-- is_verified --
-- Whether a buyer has proven to read the mail of the account's address.
SELECT coalesce(is_verified(%(buyer_id)s), false) AS verified
