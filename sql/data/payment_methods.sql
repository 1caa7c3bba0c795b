/* What each payment method can charge: https://docs.stripe.com/payments/payment-methods/payment-method-support
   for currencies, the methods' own pages for limits and times. Cards charge every currency. An account may
   have lower limits, which only the gateway knows; a debit above them fails like any other.

   A SEPA debit may fail for six business days, an ACH debit for four: with a weekend or two, eight and six
   days. Banks tell the outcome of the others while the buyer waits. */
with known (method, currency, maximum_charge, settles_in) as (
    select 'card', code, null::bigint, interval '0' from currencies
    union all
    values ('sepa_debit', 'EUR', null, interval '8 days'),
        ('us_bank_account', 'USD', null, interval '6 days'),
        ('ideal', 'EUR', null, interval '0'),
        ('bancontact', 'EUR', null, interval '0'),
        ('eps', 'EUR', null, interval '0'),
        ('p24', 'EUR', null, interval '0'),
        ('p24', 'PLN', 5500000, interval '0'),
        ('twint', 'CHF', 500000, interval '0'),
        ('blik', 'PLN', 5000000, interval '0')
)
insert into payment_methods as m (method, currency, maximum_charge, settles_in)
select method, currency, maximum_charge, settles_in from known
on conflict (method, currency) do update
set maximum_charge = excluded.maximum_charge, settles_in = excluded.settles_in
where row(m.maximum_charge, m.settles_in) is distinct from row(excluded.maximum_charge, excluded.settles_in);
