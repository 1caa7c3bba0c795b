-- mail_code --
-- Mails a code to an account.
SELECT mail_code(%(account_id)s, %(purpose)s, %(template)s, %(code)s, %(request)s, %(hash)s) AS sent

-- try_code --
-- Tries a code.
SELECT try_code(%(request)s, %(purpose)s, %(hash)s) AS account_id
