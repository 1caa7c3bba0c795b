"""Bookings of an organisation: found by their terms, which a job keeps, or by what has an index.

A booking has a term for its state, each word of its buyer's name, its card's last digits, the
reference of its transfer, and each tag (db/maintenance/booking_terms.py). Codes, addresses and
seats are found in the tables themselves.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from db.accounts.organisations import get_organisation
from db.catalogue import events
from db.connections import Conn, many, one
from db.maintenance.booking_terms import codes_in, term, terms_of, wanted_terms
from db.maintenance.findings import Span
from db.presentation.booking_codes import plain_code
from db.queries import load

sql = load("maintenance/booking_search")

SLACK = timedelta(seconds=2)
"""For transactions of other database users to end, which cannot be seen."""
FEW = 2000
"""A term of fewer bookings than that decides where a search begins."""
MOST = 1000
"""Bookings that are looked through of an address or a reference, the latest of them."""
STATES = (
    *("held", "authorising", "expiring", "review", "secured", "confirmed", "frozen"),
    *("expired", "cancelled", "failed"),
)

Row = dict[str, Any]


def is_due(conn: Conn) -> bool:
    """Whether bookings changed since their terms were written."""
    return bool(one(conn.execute(sql.is_due))["due"])


def next_span(conn: Conn) -> Span:
    """The part of the state log to follow next."""
    return Span(**one(conn.execute(sql.next_span, {"slack": SLACK})))


def list_changed(conn: Conn, span: Span) -> list[Row]:
    """Bookings {event_id, id} that changed in a span, in the order of their changes."""
    return many(conn.execute(sql.list_changed, {"since": span.since, "until": span.until}))


def move_on(conn: Conn, span: Span) -> None:
    """Record that a span was followed."""
    conn.execute(sql.move_on, {"since": span.since, "until": span.until})


def take_marked(conn: Conn, limit: int) -> list[Row]:
    """Bookings {event_id, id} whose terms are to be written anew for another reason; they are not
    marked any more."""
    return many(conn.execute(sql.take_marked, {"limit": limit}))


def index(conn: Conn, keys: Sequence[Row]) -> None:
    """Write the terms of bookings {event_id, id} as they are now; those of bookings that are gone
    are deleted."""
    bookings = many(conn.execute(sql.read_bookings, _in_columns(keys)))
    wanted = [(number, row["id"], row["event_id"]) for row in bookings for number in terms_of(row)]
    conn.execute(
        sql.write_terms,
        {
            "ids": [key["id"] for key in keys],
            "terms": [number for number, _, _ in wanted],
            "term_ids": [booking for _, booking, _ in wanted],
            "term_events": [event for _, _, event in wanted],
        },
    )


def list_bookings(
    conn: Conn, scope: int | None, organisation_id: int, wanted: dict[str, Any]
) -> list[Row]:
    """Bookings of an organisation that are all that is wanted, the latest first.

    wanted: {event_id, state, email, name, code, reference, card, seat (in event_id), tag,
    starting_after, limit}, each or None. Errors: NotFound.
    """
    get_organisation(conn, scope, organisation_id)
    if wanted["event_id"] is not None:
        events.check_owner(conn, organisation_id, wanted["event_id"])
    values = wanted | {"organisation_id": organisation_id}
    keys = _find(conn, values | {"all": wanted_terms(organisation_id, wanted)})
    return show(conn, keys)


def show(conn: Conn, keys: Sequence[Row]) -> list[Row]:
    """Bookings {event_id, id} as lists have them, the latest first."""
    return many(conn.execute(sql.show_bookings, _in_columns(keys)))


def _in_columns(keys: Sequence[Row]) -> dict[str, list[Any]]:
    return {"events": [key["event_id"] for key in keys], "ids": [key["id"] for key in keys]}


def _find(conn: Conn, values: dict[str, Any]) -> list[Row]:
    """A page of {event_id, id}. values: what is wanted, organisation_id, and the terms `all`."""
    found = _find_exactly(conn, values)
    if found is not None:
        return many(conn.execute(sql.find_among, values | _in_columns(found)))
    counts = {"terms": values["all"], "most": FEW}
    numbers = {row["term"]: row["bookings"] for row in conn.execute(sql.count_terms, counts)}
    rarest = min(numbers, key=lambda number: numbers[number], default=None)
    if values["event_id"] and (rarest is None or numbers[rarest] == FEW):
        return many(conn.execute(sql.find_in_event, values))
    states = [term(values["organisation_id"], "state", state) for state in STATES]
    beginning = states if rarest is None else [rarest]
    others = [number for number in values["all"] if number != rarest]
    return many(conn.execute(sql.find_bookings, values | {"any": beginning, "all": others}))


def _find_exactly(conn: Conn, values: dict[str, Any]) -> list[Row] | None:
    """Bookings by what few have: a code, an address, a seat, a reference; None: nothing of it is
    wanted."""
    found: list[list[Row]] = []
    if values["code"] is not None:
        found.append(_find_codes(conn, values, [plain_code(values["code"])]))
    if values["email"] is not None:
        found.append(many(conn.execute(sql.find_address, values | {"most": MOST})))
    if values["seat"] is not None:
        found.append(many(conn.execute(sql.find_seat, values)))
    if values["reference"] is not None:
        found.append(_find_reference(conn, values))
    if not found:
        return None
    first, *others = ({row["id"]: row for row in rows} for rows in found)
    return [row for key, row in first.items() if all(key in other for other in others)]


def _find_codes(conn: Conn, values: dict[str, Any], codes: list[str]) -> list[Row]:
    asked = {"organisation_id": values["organisation_id"], "codes": codes}
    return many(conn.execute(sql.find_codes, asked))


def _find_reference(conn: Conn, values: dict[str, Any]) -> list[Row]:
    """Bookings whose transfer has the reference, or whose code stands in it."""
    reference = plain_code(values["reference"])
    number = term(values["organisation_id"], "reference", reference)
    found = many(conn.execute(sql.find_reference, {"term": number, "most": MOST}))
    return [*found, *_find_codes(conn, values, codes_in(reference))]
