"""Amounts as people read them, from integers of minor units."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel.numbers import format_currency


@dataclass(frozen=True)
class Currency:
    """A currency: one of it is 10 ** exponent minor units; only multiples of step can be paid.

    minimum_charge, maximum_charge: limits of one payment through the gateway.
    """

    code: str
    exponent: int
    step: int = 1
    minimum_charge: int = 1
    maximum_charge: int = 99_999_999


@lru_cache(1024)  # the prices of a sale are few
def written(amount: int, currency: Currency) -> str:
    """Write an amount for people: 495000 of EUR is "4,950.00 EUR", of JPY "495,000 JPY", of KWD
    "495.000 KWD". Of ISK, counted in hundredths but only paid whole, it is "4,950 ISK".
    """
    unit = 10**currency.exponent
    whole = currency.step == unit and amount % unit == 0
    decimals = "" if whole or unit == 1 else "." + "0" * currency.exponent
    return format_currency(
        Decimal(amount).scaleb(-currency.exponent),
        currency.code,
        f"#,##0{decimals} \xa4\xa4",  # two signs: the code, which is clear for all dollars
        locale="en",
        currency_digits=False,  # the decimals of this pattern: Stripe's are not CLDR's
    )
