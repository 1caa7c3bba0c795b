-- tell_change --
-- Mails a person that a way to sign in has changed.
SELECT tell_change(%(account_id)s, %(change)s)
