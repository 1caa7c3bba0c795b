-- merge_accounts --
-- Moves what an account has bought into another one.
SELECT merge_accounts(%(from_id)s, %(into_id)s) AS because
