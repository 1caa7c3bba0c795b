/* The currencies that can be charged, from https://docs.stripe.com/currencies: minor units, special cases,
   and the lowest and highest charge. They are here and not in a migration, because they change.

   ISK and UGX have no smaller unit any more, but are still counted in hundredths. Of three decimals the
   last must be 0. HUF and TWD are whole only in payouts. If Stripe gives no lowest charge, it is one step.
   For an account that settles in another currency the lowest charge is that currency's, which only the
   gateway knows. */
with names as (
    select code, case
        when code in ('BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'VND',
            'VUV', 'XAF', 'XOF', 'XPF') then 0
        when code in ('BHD', 'JOD', 'KWD', 'OMR', 'TND') then 3
        else 2 end as exponent
    from regexp_split_to_table('
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD
        CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ
        GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD
        LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK
        PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TND TOP
        TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW', '\s+') n(code)
    where code ~ '^[A-Z]{3}$'
), known as (
    select code, exponent, case when code in ('ISK', 'UGX') then 100 when exponent = 3 then 10 else 1
        end as step
    from names
), least_charges (code, amount) as (
    values ('AED', 200), ('AUD', 50), ('BGN', 100), ('BRL', 50), ('CAD', 50), ('CHF', 50),
        ('CZK', 1500), ('DKK', 250), ('EUR', 50), ('GBP', 30), ('HKD', 400), ('HUF', 17500),
        ('INR', 50), ('JPY', 50), ('MXN', 1000), ('MYR', 200), ('NOK', 300), ('NZD', 50),
        ('PLN', 200), ('RON', 200), ('SEK', 300), ('SGD', 50), ('THB', 1000), ('USD', 50)
)
insert into currencies as c (code, exponent, step, minimum_charge, maximum_charge)
select k.code, k.exponent, k.step, coalesce(l.amount, k.step),
    case k.code when 'IDR' then 999999999999 else 99999999 end
from known k left join least_charges l using (code)
on conflict (code) do update
set exponent = excluded.exponent, step = excluded.step, minimum_charge = excluded.minimum_charge,
    maximum_charge = excluded.maximum_charge
where row(c.exponent, c.step, c.minimum_charge, c.maximum_charge)
    is distinct from row(excluded.exponent, excluded.step, excluded.minimum_charge,
        excluded.maximum_charge);
