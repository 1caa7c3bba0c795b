-- list_currencies --
-- All currencies in which an event can be sold.
SELECT code, exponent, step, minimum_charge, maximum_charge FROM currencies

-- find_currency --
-- One currency by its code.
SELECT code, exponent, step, minimum_charge, maximum_charge FROM currencies WHERE code = %(code)s
