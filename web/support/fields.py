"""Strict marshmallow fields: "3" is not 3, true is not 1, and a value that Postgres cannot store is
refused."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import marshmallow
from marshmallow import ValidationError, fields, validate

from db.presentation.addresses import MAX_ADDRESS, read_address
from db.presentation.texts import UNSTORABLE, read_line, read_paragraphs
from db.presentation.web_addresses import read_web_address
from web.support.enumerations import TIME_ZONE, Enumeration

BIGGEST_ID = 2**63 - 1


class Schema(marshmallow.Schema):
    """A JSON object; fields that the schema does not name are refused."""

    error_messages = {  # noqa: RUF012
        "type": "Must be a JSON object.",
        "unknown": "Unknown field.",
    }


class Answer(Schema):
    """A JSON object that is answered. Its fields are always there, but for those whose metadata say
    `optional`."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = not field_obj.metadata.get("optional", False)


class OneOf(fields.String):
    """One of the words of an enumeration."""

    def __init__(self, enumeration: Enumeration, **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(list(enumeration.words)), **kwargs)
        self.enumeration = enumeration


class AnyOf(fields.Dict):
    """A JSON object that is answered, of one of some schemas."""

    def __init__(self, schemas: Sequence[type[Schema]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schemas = schemas


class Text(fields.String):
    """A string that can be stored, for machines: a guid, a token. It is trimmed, and its length is
    checked after that. What people read is a Line or Paragraphs."""

    def __init__(self, least: int = 1, most: int = 200, **kwargs: Any) -> None:
        kwargs.setdefault("validate", validate.Length(min=least, max=most))
        super().__init__(**kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None or UNSTORABLE.search(text):
            raise ValidationError("Must not contain NUL or lone surrogates.")
        try:
            return self._read(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def _read(self, text: str) -> str:
        """The text as it is kept. Errors: ValueError, whose message says why it is refused."""
        return text.strip()


class Line(Text):
    """Text on one line that people read: see db/presentation/texts.py."""

    def _read(self, text: str) -> str:
        return read_line(text)


class Name(Line):
    """What a person, a place or an event is called."""


class Paragraphs(Text):
    """Text of several lines that people read."""

    def _read(self, text: str) -> str:
        return read_paragraphs(text)


class Email(Text):
    """An e-mail address, in the form that is mailed; only a delivered mail proves that it exists.

    It is read by the code that mails, so one that is accepted here can be mailed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(min=3, max=MAX_ADDRESS), **kwargs)

    def _read(self, text: str) -> str:
        return read_address(text)


class ReturnUrl(Text):
    """A web address to which buyers are sent; see db/presentation/web_addresses.py."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=1000, **kwargs)

    def _read(self, text: str) -> str:
        return str(read_web_address(text.strip()))


class StrictInteger(fields.Integer):
    """An integer within bounds; "3", 3.0 and true are refused."""

    def __init__(self, least: int = 0, most: int = BIGGEST_ID, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=least, max=most), **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class StrictNumber(fields.Float):
    """A number; "3" and true are refused."""

    def _validated(self, value: Any) -> float:
        if isinstance(value, str):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class QueryInteger(fields.Integer):
    """An integer in a query, where everything is text. It has one spelling: int() would read 1_0,
    and the digits of other alphabets."""

    def __init__(self, least: int = 0, most: int = BIGGEST_ID, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(min=least, max=most), **kwargs)

    def _validated(self, value: Any) -> int:
        if not re.fullmatch("-?[0-9]+", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class QueryBoolean(fields.Boolean):
    """true or false in a query, where everything is text."""

    truthy = {"true"}  # noqa: RUF012
    falsy = {"false"}  # noqa: RUF012


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

    enumeration = TIME_ZONE

    def __init__(self, **kwargs: Any) -> None:
        rule = validate.OneOf(list(TIME_ZONE.words), error="Not a time zone's name.")
        super().__init__(validate=rule, **kwargs)


class Rate(fields.Decimal):
    """A number from 0 to 1, of up to five decimals; "0.19" is refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=5, validate=validate.Range(min=0, max=1), **kwargs)

    def _validated(self, value: Any) -> Decimal:
        if isinstance(value, str):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def unique(values: list[str]) -> None:
    """Validate that no value occurs twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValidationError(f"{value} occurs twice.")
        seen.add(value)
