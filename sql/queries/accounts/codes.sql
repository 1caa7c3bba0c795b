-- mail_code --
-- Mails a code to an account.
SELECT mail_code(%(account_id)s, %(purpose)s, %(template)s, %(code)s, %(request)s, %(hash)s) AS sent

-- pretend_code --
-- Does as much for an address that no account has.
SELECT pretend_code(%(email)s, %(purpose)s, %(request)s, %(hash)s)

-- try_codes --
-- Tries codes of one request.
SELECT try_codes(%(request)s, %(purposes)s, %(hashes)s) AS account_id
