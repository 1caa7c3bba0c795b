"""Marshmallow fields that take JSON at its word: no "3" for 3, no true for 1, nothing that Postgres
cannot store."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unicodedata import category
from zoneinfo import available_timezones

import marshmallow
from marshmallow import ValidationError, fields, validate

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # Postgres' text and UTF-8 cannot hold these

LINES_OR_CONTROL = {"Cc", "Zl", "Zp"}
UNSEEN = {"Cf", "Zs", "Mn", "Cn", "Co"}
"""Unicode's categories; Cf are zero-width characters and those that turn the direction of text."""

BIGGEST_ID = 2**63 - 1

METHODS = ["card", "sepa_debit", "us_bank_account", "ideal", "bancontact", "eps", "p24", "twint",
           "blik"]  # fmt: skip
"""How the gateway can be paid, in its words; events.payment_methods has the same list."""


class Schema(marshmallow.Schema):
    """What a body must look like; fields that it does not name are refused."""

    error_messages = {  # noqa: RUF012
        "type": "Must be a JSON object.",
        "unknown": "Unknown field.",
    }


class Text(fields.String):
    """A string that can be stored, trimmed; lengths are those after trimming."""

    def __init__(self, least: int = 1, most: int = 200, **kwargs: Any) -> None:
        kwargs.setdefault("validate", validate.Length(min=least, max=most))
        super().__init__(**kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None or _UNSTORABLE.search(text):
            raise ValidationError("Must not contain NUL or lone surrogates.")
        return str(text.strip())


class Name(Text):
    """Text on one line, of which something can be seen."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        kinds = {category(character) for character in text}
        if kinds & LINES_OR_CONTROL:
            raise ValidationError("Must be on one line, without control characters.")
        if text and kinds <= UNSEEN:
            raise ValidationError("Must hold something that can be seen.")
        return text


class Email(Text):
    """An address that could exist; only a mail that arrives proves more."""

    def __init__(self, **kwargs: Any) -> None:
        plain = validate.Regexp(r"[\x00-\x7f]*@", error="Must be plain ASCII before the @.")
        rules = [validate.Length(min=3, max=254), validate.Email(), plain]
        super().__init__(validate=rules, **kwargs)


class StrictInteger(fields.Integer):
    """An integer within bounds; neither "3" nor 3.0 nor true."""

    def __init__(self, least: int = 0, most: int = BIGGEST_ID, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=least, max=most), **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class QueryInteger(fields.Integer):
    """An integer in a query, where everything is text."""

    def __init__(self, least: int = 0, most: int = BIGGEST_ID, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(min=least, max=most), **kwargs)


class StrictBoolean(fields.Boolean):
    """true or false, and nothing that looks like them."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Timestamp(fields.AwareDateTime):
    """A date and time with its offset, as in 2030-05-01T20:00:00+02:00."""

    def __init__(self, **kwargs: Any) -> None:
        first, last = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
        super().__init__(format="iso", validate=validate.Range(first, last), **kwargs)


class TimeZone(Text):
    """A name of the time zone database, as in Europe/Berlin."""

    def __init__(self, **kwargs: Any) -> None:
        names = sorted(available_timezones() - {"localtime", "Factory"})  # of this machine, of none
        rule = validate.OneOf(names, error="Not a time zone's name.")
        super().__init__(validate=rule, **kwargs)


class Rate(fields.Decimal):
    """A part of 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=5, validate=validate.Range(min=0, max=1), **kwargs)


def unique(values: list[str]) -> None:
    """Validates that nothing is there twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValidationError(f"{value} is there twice.")
        seen.add(value)
