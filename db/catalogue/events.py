"""Events with their prices, sales and lanes. `scope` is the organisation that the caller may act
for; None: all of them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypedDict

from db.accounts import organisations
from db.accounts.audit_log import audit
from db.accounts.organisations import get_organisation
from db.catalogue.currencies import find_currency
from db.catalogue.event_fields import check_changes, concerns_sale
from db.connections import Conn, many, maybe, one
from db.presentation.amounts import Currency, written
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound

sql = load("catalogue/events")

PUBLIC = -1
"""The scope of a caller who may see no drafts."""


class Price(TypedDict):
    """The price of a category in minor units. Price and fee contain the tax; tax_rate is the tax as
    a part of the net price.
    """

    category: int
    price: int
    fee: int
    tax_rate: Decimal


def add_event(
    conn: Conn, scope: int | None, fields: dict[str, Any], prices: Sequence[Price]
) -> int:
    """Add an event as a draft and return its id. fields: its columns; time_zone and
    gateway_account_id may be None; offline_seconds None: offline payment is not allowed.

    Errors: InvalidRequest (a part that does not exist or belongs to another organisation; a
    category without a price; fields that do not fit each other, with a `reason` of WRONG).
    """
    _check_currency(conn, fields["currency"])
    parts = maybe(conn.execute(sql.find_parts, {**fields, "scope": scope}))
    _check_parts(parts)
    assert parts is not None
    _check_prices(prices, {int(category) for category in parts["categories"]})
    _check_ways_to_pay(fields)
    fields["time_zone"] = fields["time_zone"] or parts["time_zone"]
    fields |= {name: parts[name] for name in ("organisation_id", "gateway_account_id")}
    row = one(conn.execute(sql.add_event, fields))
    set_prices(conn, row["id"], prices)
    refuse_wrong(conn, row["id"], begins=True)
    return int(row["id"])


def duplicate_event(conn: Conn, scope: int | None, event_id: int, changes: dict[str, Any]) -> int:
    """Add a draft with the fields and prices of an event, and return its id.

    changes: {starts_at}, and on_sale_at, off_sale_at and name, where they are other than the
    event's, moved as far as starts_at is. Errors: as add_event; NotFound.
    """
    fields = maybe(conn.execute(sql.copy_event, {"event_id": event_id, "scope": scope}))
    if fields is None:
        raise NotFound
    prices = [
        Price(
            category=price["category"],
            price=price["price"],
            fee=price["fee"],
            tax_rate=Decimal(price["tax_rate"]),
        )
        for price in fields.pop("prices") or []
    ]
    later = changes["starts_at"] - fields["starts_at"]
    moved = {name: fields[name] + later for name in ("on_sale_at", "off_sale_at")}
    added = add_event(conn, scope, fields | moved | changes, prices)
    audit(conn, "event copied", added, {"from": event_id})
    return added


def _check_parts(parts: dict[str, Any] | None) -> None:
    if parts is None:
        raise InvalidRequest("There is no such venue.", path="venue_id")
    if parts["categories"] is None:
        raise InvalidRequest("The venue has no such plan version.", path="plan_version_id")
    if parts["gateway_account_id"] is None:
        raise InvalidRequest("The organisation has no such account.", path="gateway_account_id")


def _check_ways_to_pay(fields: dict[str, Any]) -> None:
    if not fields["payment_methods"] and fields["offline_seconds"] is None:
        message = "No buyer could pay: give a method, or offline_seconds."
        raise InvalidRequest(message, path="payment_methods")


def _check_prices(prices: Sequence[Price], wanted: set[int]) -> None:
    given = [price["category"] for price in prices]
    if len(set(given)) < len(given):
        raise InvalidRequest("A category has two prices.", path="categories")
    if missing := wanted - set(given):
        names = ", ".join(map(str, sorted(missing)))
        raise InvalidRequest(f"Categories of the plan without a price: {names}.", path="categories")
    if unknown := set(given) - wanted:
        names = ", ".join(map(str, sorted(unknown)))
        message = f"The plan has no seats of these categories: {names}."
        raise InvalidRequest(message, path="categories")


def set_prices(conn: Conn, event_id: int, prices: Sequence[Price]) -> None:
    conn.execute(sql.set_prices, _in_columns(event_id, prices))


def _in_columns(event_id: int, prices: Sequence[Price]) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "categories": [price["category"] for price in prices],
        "prices": [price["price"] for price in prices],
        "fees": [price["fee"] for price in prices],
        "tax_rates": [price["tax_rate"] for price in prices],
    }


def _check_currency(conn: Conn, code: str) -> None:
    if find_currency(conn, code) is None:
        message = (
            f"Nothing can be sold in {code}: give the ISO code of a currency that can be charged."
        )
        raise InvalidRequest(message, path="currency", reason="unknown_currency")


def refuse_wrong(
    conn: Conn, event_id: int, *, begins: bool, known: dict[str, str] | None = None
) -> None:
    """Refuse an event whose fields do not fit each other. begins: it has to begin later than now;
    known: an error that is not refused. Errors: InvalidRequest with a reason of WRONG."""
    wrong = _find_wrong(conn, event_id, begins=begins)
    if wrong and wrong != known:
        raise InvalidRequest(wrong["message"], path=wrong["path"], reason=wrong["reason"])


def _find_wrong(conn: Conn, event_id: int, *, begins: bool) -> dict[str, str] | None:
    """The first error across the fields of an event: {reason, path, message}."""
    row = maybe(conn.execute(sql.check_event, {"event_id": event_id, "begins": begins}))
    if row is None:
        return None
    currency = Currency(row["currency"], row["exponent"], row["step"])
    amounts = {name: written(row[name] or 0, currency) for name in ("amount", "bound")}
    said = amounts | {"method": row["method"], "currency": row["currency"]}
    return {name: row[name] for name in ("reason", "path")} | {
        "message": WRONG[row["reason"]].format(**said)
    }


WRONG = {
    "starts_in_the_past": "The event would have begun already.",
    "sale_after_start": "The sale must begin before the event does.",
    "sale_too_long": "The sale must end within a year of the event's beginning.",
    "hold_too_long": "A hold must not outlast the sale and the event: lower hold_seconds.",
    "method_not_in_currency": "{method} cannot charge {currency}: leave it out.",
    "method_too_slow": (
        "{method} takes days: its money would be sure only after the event has begun. "
        "Leave it out, or begin the sale earlier."
    ),
    "method_limits": "Every booking would cost more than {method} can charge: leave it out.",
    "not_a_multiple": "{amount} cannot be paid: amounts must be multiples of {bound}.",
    "too_little": (
        "The cheapest booking would cost {amount}: the least that can be charged is {bound}. "
        "Raise the price, or make it free."
    ),
    "too_much": (
        "The most expensive booking would cost {amount}: the most that can be charged is {bound}. "
        "Lower seats_per_buyer, or the prices."
    ),
}
METHODS_WRONG = ("method_not_in_currency", "method_too_slow", "method_limits")


def get_event(conn: Conn, event_id: int, scope: int | None = PUBLIC) -> dict[str, Any]:
    """An event with its venue and prices; a draft only within the scope. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_event, {"event_id": event_id, "scope": scope}))
    if row is None:
        raise NotFound
    return row


def list_events(conn: Conn, starting_after: int, limit: int) -> list[dict[str, Any]]:
    """Events that are on sale or announced, without prices."""
    values = {"starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_events, values))


def list_own_events(
    conn: Conn,
    scope: int | None,
    organisation_id: int,
    wanted: dict[str, Any],
) -> list[dict[str, Any]]:
    """Events of an organisation, drafts, closed and cancelled ones among them, as list_events.

    wanted: {state, venue_id, name (a part of it), starts_from, starts_before, each or None,
    starting_after, limit}. Errors: NotFound."""
    get_organisation(conn, scope, organisation_id)
    return many(conn.execute(sql.list_own_events, wanted | {"organisation_id": organisation_id}))


WAYS_TO_PAY = ("payment_methods", "offline_seconds")
CHANGEABLE = (
    "name",
    "starts_at",
    "on_sale_at",
    "off_sale_at",
    "time_zone",
    "currency",
    "booking_fee",
    "booking_fee_tax_rate",
    "seats_per_buyer",
    "hold_seconds",
    "gated",
    "claim_seconds",
    "grace_seconds",
    "pass_seconds",
    "terms",
    *WAYS_TO_PAY,
    "offline_instructions",
    "accessible_release_seconds",
)


def change_event(
    conn: Conn,
    scope: int | None,
    event_id: int,
    fields: dict[str, Any],
    prices: Sequence[Price] | None,
) -> None:
    """Change the given fields of an event, and all its prices if any are given; what may be changed
    of one that was opened is said in db/catalogue/event_fields.py. offline_seconds None: offline
    payment is no longer allowed.

    Errors: NotFound; Conflict with the `path` of a field that is refused; InvalidRequest.
    """
    event = _lock(conn, scope, event_id)
    new = {name: value for name, value in fields.items() if value != event[name]}
    changes = new | ({} if prices is None else {"categories": prices})
    check_changes(event, changes)
    _check_times(event | new)
    _check_ways_to_pay(event | new)
    if event["state"] == "draft":
        _change_version(conn, event_id, new.pop("plan_version_id", None), prices)
        _check_new_currency(conn, event, new, prices)
        _write_changes(conn, event_id, new)
        _replace_prices(conn, event_id, prices)
        refuse_wrong(conn, event_id, begins="starts_at" in new)
    elif concerns_sale(changes):
        _change_sale(conn, event_id, new, prices)
    else:
        _write_changes(conn, event_id, new)


def _check_times(changed: dict[str, Any]) -> None:
    if changed["on_sale_at"] >= changed["off_sale_at"]:
        raise InvalidRequest("The sale must end after it begins.", path="off_sale_at")
    if changed["lobby_closes_at"] and changed["lobby_closes_at"] > changed["on_sale_at"]:
        message = "The lobby would close after the sale begins."
        raise InvalidRequest(message, path="on_sale_at", reason="lobby_after_sale")


def _write_changes(conn: Conn, event_id: int, changes: dict[str, Any]) -> None:
    if not changes:
        return
    values = dict.fromkeys(CHANGEABLE) | changes | {"event_id": event_id}
    given = {"offline": "offline_seconds", "release": "accessible_release_seconds"}
    values |= {f"set_{name}": field in changes for name, field in given.items()}
    conn.execute(sql.change_event, values)


def _change_sale(
    conn: Conn, event_id: int, changes: dict[str, Any], prices: Sequence[Price] | None
) -> None:
    """Change what holds are made with, between two of them: no hold is made partly with the old
    values. An error that was there before, by a rule that is newer than the event, is left."""
    conn.execute(sql.lock_sale, {"event_id": event_id})
    before = _find_wrong(conn, event_id, begins=False)
    _write_changes(conn, event_id, changes)
    if prices is not None:
        _check_all_priced(conn, event_id, prices)
        conn.execute(sql.change_prices, _in_columns(event_id, prices))
    refuse_wrong(conn, event_id, begins=False, known=before)


def _replace_prices(conn: Conn, event_id: int, prices: Sequence[Price] | None) -> None:
    if prices is not None:
        _check_all_priced(conn, event_id, prices)
        before = many(conn.execute(sql.list_prices, {"event_id": event_id}))
        set_prices(conn, event_id, prices)
        after = many(conn.execute(sql.list_prices, {"event_id": event_id}))
        if after != before:
            detail = {"categories": {"from": before, "to": after}}
            audit(conn, "prices changed", event_id, detail)


def _check_all_priced(conn: Conn, event_id: int, prices: Sequence[Price]) -> None:
    rows = conn.execute(sql.list_plan_categories, {"event_id": event_id})
    _check_prices(prices, {row["category"] for row in rows})


def _check_new_currency(
    conn: Conn, event: dict[str, Any], fields: dict[str, Any], prices: Sequence[Price] | None
) -> None:
    """Check that another currency comes with all amounts: 25.00 EUR is not 2,500 KRW."""
    old, new = event["currency"], fields.get("currency", event["currency"])
    if new == old:
        return
    _check_currency(conn, new)
    left = {
        "categories": prices is None and event["priced"],
        "booking_fee": "booking_fee" not in fields and event["booking_fee"] > 0,
    }
    for path in (path for path, is_left in left.items() if is_left):
        message = f"This is an amount in {old}: give it in {new}, too."
        raise InvalidRequest(message, path=path, reason="amounts_in_other_currency")


def _change_version(
    conn: Conn, event_id: int, version_id: int | None, prices: Sequence[Price] | None
) -> None:
    """Pin a draft to another plan version. Its categories need prices: given now, or by name."""
    if version_id is None:
        return
    _find_version(conn, event_id, version_id)
    if prices is None:
        _move(conn, event_id, version_id)
    else:
        row = one(conn.execute(sql.set_version, {"event_id": event_id, "version_id": version_id}))
        if row["old"] != version_id:
            act = {"from": row["old"], "to": version_id}
            audit(conn, "plan version changed", event_id, act)


def move_event(conn: Conn, scope: int | None, event_id: int, version_id: int) -> None:
    """Move an event, opened or not, to another version of its venue's plans.

    Errors: NotFound; InvalidRequest; Conflict cancelled, archived, categories_differ or seats_gone
    (`seats`).
    """
    event = _lock(conn, scope, event_id)
    if event["state"] == "cancelled":
        raise Conflict("The event was cancelled.", "cancelled")
    if event["archive_month"]:
        raise Conflict("The event's bookings have the seats with which they are kept.", "archived")
    _find_version(conn, event_id, version_id)
    if version_id != event["plan_version_id"]:
        _move(conn, event_id, version_id)


def _find_version(conn: Conn, event_id: int, version_id: int) -> None:
    values = {"event_id": event_id, "plan_version_id": version_id}
    if maybe(conn.execute(sql.find_version, values)) is None:
        raise InvalidRequest("The venue has no such plan version.", path="plan_version_id")


def _move(conn: Conn, event_id: int, version_id: int) -> None:
    values = {"event_id": event_id, "plan_version_id": version_id}
    row = one(conn.execute(sql.move_event, values))
    names = row["names"] or []
    if row["outcome"] == "categories":
        message = (
            f"The event has no such categories: {_some(names)}. A draft gets their prices with "
            "the change; an event that was opened can only be moved to a version that has its own."
        )
        raise Conflict(message, "categories_differ", categories=names)
    if row["outcome"] == "seats_gone":
        message = f"Bookings or waiting entries have seats that went: {_some(names)}."
        raise Conflict(message, "seats_gone", seats=names)


def check_owner(conn: Conn, scope: int | None, event_id: int) -> None:
    """Check that the event is within the scope. Errors: NotFound."""
    values = {"event_id": event_id, "scope": scope}
    if maybe(conn.execute(sql.check_owner, values)) is None:
        raise NotFound


def _lock(conn: Conn, scope: int | None, event_id: int) -> dict[str, Any]:
    row = maybe(conn.execute(sql.lock_event, {"event_id": event_id, "scope": scope}))
    if row is None:
        raise NotFound
    return row


def delete_draft(conn: Conn, scope: int | None, event_id: int) -> None:
    """Delete a draft. Errors: NotFound; Conflict not_a_draft."""
    event = _lock(conn, scope, event_id)
    if event["state"] != "draft":
        message = "The event was opened: close it, or cancel it if it does not take place."
        raise Conflict(message, "not_a_draft")
    conn.execute(sql.delete_draft, {"event_id": event_id})
    audit(conn, "draft deleted", event_id, {"name": event["name"]})


def open_sale(conn: Conn, scope: int | None, event_id: int) -> None:
    """Change the state from draft or closed to on_sale; an event on sale stays so. Opening it for
    the first time makes its seats.

    Errors: NotFound; Conflict sale_over, cancelled, suspended, or a reason of WRONG, since the time
    has passed and limits may have changed since the event was set; of payment methods
    InvalidRequest.
    """
    event = _lock(conn, scope, event_id)
    if event["state"] == "cancelled":
        raise Conflict("The event was cancelled.", "cancelled")
    organisations.refuse_suspended(conn, event["organisation_id"])
    if event["over"]:
        raise Conflict("The sale is over: off_sale_at has passed.", "sale_over")
    if wrong := _find_wrong(conn, event_id, begins=event["state"] == "draft"):
        if wrong["reason"] in METHODS_WRONG:
            raise InvalidRequest(wrong["message"], path=wrong["path"], reason=wrong["reason"])
        raise Conflict(wrong["message"], wrong["reason"])
    if event["state"] == "draft":
        conn.execute(sql.open_event, {"event_id": event_id})
    _set_state(conn, event_id, event["state"], "on_sale")


def close_sale(conn: Conn, scope: int | None, event_id: int) -> None:
    """Change the state from on_sale to closed, and tell waiting entries. A closed event stays so.

    Errors: NotFound; Conflict not_on_sale.
    """
    event = _lock(conn, scope, event_id)
    if event["state"] not in ("on_sale", "closed"):
        raise Conflict("The event is not on sale.", "not_on_sale")
    _set_state(conn, event_id, event["state"], "closed")


def _set_state(conn: Conn, event_id: int, old: str, new: str) -> None:
    conn.execute(sql.set_state, {"event_id": event_id, "old": old, "new": new})


def change_lane(
    conn: Conn, scope: int | None, event_id: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change paused, weight, in_flight_cap (None: no cap) or admission_rate (entries a minute;
    None: no limit) of an event that was opened. Each change is written to the audit log.

    Returns {id, weight, paused, in_flight_cap, admission_rate}.
    Errors: NotFound; Conflict not_opened.
    """
    values = dict.fromkeys(("paused", "weight", "in_flight_cap", "admission_rate")) | changes
    values |= {"scope": scope, "event_id": event_id}
    values |= {"set_cap": "in_flight_cap" in changes, "set_rate": "admission_rate" in changes}
    row = maybe(conn.execute(sql.change_lane, values))
    if row is None:
        _lock(conn, scope, event_id)
        raise Conflict(NOT_OPENED, "not_opened")
    return row


def list_changes(
    conn: Conn, scope: int | None, event_id: int, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """Changes to an event in the audit log, the latest first: [{id, at, actor, action, detail}].

    Errors: NotFound.
    """
    check_owner(conn, scope, event_id)
    values = {"event_id": event_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_changes, values))


NOT_OPENED = "The event was never opened: POST …/open first."


def block_seats(
    conn: Conn, scope: int | None, event_id: int, guids: list[str], *, block: bool
) -> None:
    """Block or unblock seats: all or none.

    Errors: NotFound; InvalidRequest (unknown guids); Conflict not_opened or seats_taken.
    """
    values = {"event_id": event_id, "scope": scope, "guids": guids, "block": block}
    row = one(conn.execute(sql.block_seats, values))
    if row["outcome"] == "no_event":
        raise NotFound
    if row["outcome"] == "not_opened":
        raise Conflict(NOT_OPENED, "not_opened")
    if row["outcome"] == "unknown_seat":
        message = f"The plan has no such seats: {_some(row['guids'])}."
        raise InvalidRequest(message, path="seats", reason="unknown_seat")
    if row["outcome"] == "taken":
        message = f"Nothing was changed: held or sold are {_some(row['guids'])}."
        raise Conflict(message, "seats_taken", seats=row["guids"])


def _some(guids: list[str]) -> str:
    more = f" and {len(guids) - 10} more" if len(guids) > 10 else ""
    return ", ".join(guids[:10]) + more
