"""Strict marshmallow fields: "3" is not 3, true is not 1, and a value that Postgres cannot store is
refused."""

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
"""Unicode categories of invisible characters; Cf has zero-width and text-direction characters."""

BIGGEST_ID = 2**63 - 1

METHODS = ["card", "sepa_debit", "us_bank_account", "ideal", "bancontact", "eps", "p24", "twint",
           "blik"]  # fmt: skip
"""The gateway's payment methods, in its words; events.payment_methods has the same list."""


class Schema(marshmallow.Schema):
    """A JSON object; fields that the schema does not name are refused."""

    error_messages = {  # noqa: RUF012
        "type": "Must be a JSON object.",
        "unknown": "Unknown field.",
    }


class Text(fields.String):
    """A string that can be stored. It is trimmed, and its length is checked after that."""

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
    """Text on one line with at least one visible character."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        kinds = {category(character) for character in text}
        if kinds & LINES_OR_CONTROL:
            raise ValidationError("Must be on one line, without control characters.")
        if text and kinds <= UNSEEN:
            raise ValidationError("Must have a visible character.")
        return text


class Email(Text):
    """A possible e-mail address; only a delivered mail proves that it exists."""

    def __init__(self, **kwargs: Any) -> None:
        plain = validate.Regexp(r"[\x00-\x7f]*@", error="Must be plain ASCII before the @.")
        rules = [validate.Length(min=3, max=254), validate.Email(), plain]
        super().__init__(validate=rules, **kwargs)


class StrictInteger(fields.Integer):
    """An integer within bounds; "3", 3.0 and true are refused."""

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
    """true or false; no other value is accepted."""

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
        names = sorted(available_timezones() - {"localtime", "Factory"})  # these two name no zone
        rule = validate.OneOf(names, error="Not a time zone's name.")
        super().__init__(validate=rule, **kwargs)


class Rate(fields.Decimal):
    """A number from 0 to 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=5, validate=validate.Range(min=0, max=1), **kwargs)


def unique(values: list[str]) -> None:
    """Validate that no value occurs twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValidationError(f"{value} occurs twice.")
        seen.add(value)
