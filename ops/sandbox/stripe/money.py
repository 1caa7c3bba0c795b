"""Currencies: codes, minor units, and the amounts that can be charged. Usher's own table is not
used here, so that a mistake in it is noticed.

Source: https://docs.stripe.com/currencies
"""

from __future__ import annotations

from db.presentation.amounts import Currency
from db.presentation.amounts import written as as_people_read
from ops.sandbox.stripe.errors import invalid

CODES = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp
    byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip
    gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt
    lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd
    std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar
    zmw
"""
WHOLE_UNITS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
WHOLE_IN_HUNDREDTHS = frozenset({"isk", "ugx"})
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
CURRENCIES = frozenset(CODES.split())
ZERO_DECIMAL = frozenset(WHOLE_UNITS.split())
MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MAXIMUM = 99_999_999
MAXIMUM_IDR = 999_999_999_999


def minimum(currency: str) -> int:
    """The smallest amount, in minor units; one step where Stripe names none."""
    return MINIMUM.get(currency, step(currency))


def maximum(currency: str) -> int:
    return MAXIMUM_IDR if currency == "idr" else MAXIMUM


def step(currency: str) -> int:
    """Amounts must be multiples of it."""
    return 100 if currency in WHOLE_IN_HUNDREDTHS else 10 if currency in THREE_DECIMALS else 1


def check_multiple(amount: int, currency: str) -> None:
    if amount % step(currency):
        message = f"Amounts of {currency} must be divisible by {step(currency)}."
        raise invalid(message, param="amount")


def exponent(currency: str) -> int:
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMALS else 2


def written(amount: int, currency: str) -> str:
    """An amount in minor units as a person writes it: `12.50 EUR`, `50 JPY`."""
    known = Currency(currency.upper(), exponent(currency), step(currency))
    return as_people_read(amount, known)
