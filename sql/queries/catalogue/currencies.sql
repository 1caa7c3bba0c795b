-- list_currencies --
-- Those that can be sold in.
SELECT code, exponent, step, minimum_charge, maximum_charge FROM currencies

-- find_currency --
-- One of them.
SELECT code, exponent, step, minimum_charge, maximum_charge FROM currencies WHERE code = %(code)s
