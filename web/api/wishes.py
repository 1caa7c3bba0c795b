"""A buyer's wish: named seats, or the best available."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from web.support.fields import Schema, StrictBoolean, StrictInteger, Text, unique

MOST_SEATS = 50
MOST_NUMBER = 2**31 - 1


class SeatsWish(Schema):
    """The best available seats (quantity …), or named seats."""

    quantity = StrictInteger(
        least=1,
        most=MOST_SEATS,
        metadata={"description": "how many seats; with `seats`: their number, or left out"},
    )
    category = StrictInteger(
        least=1,
        most=32767,
        load_default=None,
        allow_none=True,
        metadata={"description": "only seats of this category; null: of any"},
    )
    together = StrictBoolean(
        load_default=True, metadata={"description": "only seats side by side in one row"}
    )
    seats = fields.List(
        Text(),
        load_default=None,
        allow_none=True,
        validate=[validate.Length(min=1, max=MOST_SEATS), unique],
        metadata={"description": "guids of these very seats; null: the best available"},
    )
    chart_seats = fields.List(
        StrictInteger(least=1, most=MOST_NUMBER),
        validate=[validate.Length(min=1, max=MOST_SEATS), unique],
        metadata={
            "description": "these very seats by their numbers in the compact chart of "
            "plan_version_id, instead of guids"
        },
    )
    plan_version_id = StrictInteger(
        least=1,
        metadata={
            "description": "of the chart from which seats are named; if the event was moved to "
            "another version since, the answer is 409 plan_moved"
        },
    )
    accessible = StrictInteger(
        most=MOST_SEATS,
        load_default=0,
        metadata={"description": "how many of the seats have to be places for wheelchairs"},
    )
    accept_terms = StrictBoolean(
        load_default=False,
        metadata={"description": "the buyer accepts the event's terms; needed where it has some"},
    )
    expected_total = StrictInteger(
        most=10**14,
        metadata={
            "description": "what the buyer was shown that the booking costs, with all fees, in "
            "minor units; if it costs another sum when seats would be held, none are, and the "
            "answer has reason price_changed and the `total`"
        },
    )

    @validates_schema(skip_on_field_errors=True)
    def check_combination(self, given: dict[str, Any], **_: Any) -> None:
        seats, quantity = named_seats(given), given.get("quantity")
        if given["seats"] is not None and "chart_seats" in given:
            raise ValidationError("Name seats by guids, or by their numbers.", "chart_seats")
        if "chart_seats" in given and "plan_version_id" not in given:
            raise ValidationError("Name the plan version of the chart.", "plan_version_id")
        if "plan_version_id" in given and seats is None:
            raise ValidationError("It goes with named seats.", "plan_version_id")
        if seats is None and quantity is None:
            raise ValidationError("Give a quantity or seats.", "quantity")
        if seats is not None and quantity not in (None, len(seats)):
            raise ValidationError("The quantity is not the number of seats.", "quantity")
        if seats is not None and given["category"] is not None:
            raise ValidationError("Named seats have their own categories.", "category")
        if given["accessible"] > (quantity or len(seats or ())):
            raise ValidationError("More accessible seats than seats.", "accessible")
        if "expected_total" in given and seats is None and given["category"] is None:
            message = "Name a category or seats: otherwise the total is not known before."
            raise ValidationError(message, "expected_total")

    @post_load
    def count_seats(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        given.setdefault("quantity", len(named_seats(given) or ()))
        return given


def named_seats(given: dict[str, Any]) -> list[Any] | None:
    """The seats that a wish names, by guid or by number. None: the best available are wanted."""
    seats: list[Any] | None = given["seats"]
    return seats if seats is not None else given.get("chart_seats")
