"""Amounts as people read them. They are integers of a currency's smallest unit."""

from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import format_currency


@dataclass(frozen=True)
class Currency:
    """10 ** exponent of the smallest unit are one; only multiples of step can be paid.

    minimum_charge, maximum_charge: of one payment through the gateway.
    """

    code: str
    exponent: int
    step: int = 1
    minimum_charge: int = 1
    maximum_charge: int = 99_999_999


def written(amount: int, currency: Currency) -> str:
    """An amount as people read it: 495000 of EUR is "4,950.00 EUR", of JPY "495,000 JPY", of KWD
    "495.000 KWD"; kronur, which are counted in hundredths and only paid whole, are "4,950 ISK".
    """
    unit = 10**currency.exponent
    whole = currency.step == unit and amount % unit == 0
    decimals = "" if whole or unit == 1 else "." + "0" * currency.exponent
    return format_currency(
        Decimal(amount).scaleb(-currency.exponent),
        currency.code,
        f"#,##0{decimals} \xa4\xa4",  # two signs: the code, which is not taken for another dollar
        locale="en",
        currency_digits=False,  # those of this pattern: Stripe's are not CLDR's
    )
