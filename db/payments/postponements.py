"""Postponements: an event that was opened gets another date or another place. Its buyers are told,
and may give their bookings back for a while."""

from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from db.catalogue import events
from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound

sql = load("payments/postponements")


class Postponement(TypedDict):
    """What an organiser asks for; starts_at, time_zone or venue_id None: as it is."""

    starts_at: datetime | None
    time_zone: str | None
    venue_id: int | None
    give_back_until: datetime
    reason: str


CONFLICTS = {
    "not_opened": "A draft has no buyers to tell: change it by PATCH.",
    "cancelled": "The event was cancelled.",
    "archived": "The event is in the archive.",
}
WRONG = {
    "no_venue": ("venue_id", "The organisation has no such venue."),
    "nothing_changes": ("starts_at", "Give another date, time zone or venue than the event has."),
    "too_early": ("give_back_until", "Buyers need time to give their bookings back."),
    "after_start": ("give_back_until", "It must not be later than the beginning of the event."),
}


def postpone_event(
    conn: Conn, scope: int | None, event_id: int, asked: Postponement
) -> dict[str, Any]:
    """Postpone an event, and return the postponement, see list_postponements. It replaces an
    earlier one. Holds and payments that are under way go on.

    Errors: NotFound; Conflict with a reason of CONFLICTS; InvalidRequest, also if the event's
    fields do not fit each other then.
    """
    row = one(conn.execute(sql.start_postponement, asked | {"event_id": event_id, "scope": scope}))
    outcome = row["outcome"]
    if outcome == "no_event":
        raise NotFound
    if outcome in CONFLICTS:
        raise Conflict(CONFLICTS[outcome], outcome)
    if outcome in WRONG:
        path, message = WRONG[outcome]
        raise InvalidRequest(message, path=path, reason=outcome)
    events.refuse_wrong(conn, event_id, begins=True)
    return _list(conn, event_id, number=row["number"])[0]


def list_postponements(
    conn: Conn, scope: int | None, event_id: int, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """Postponements of an event, the latest first: [{id (from 1), reason, give_back_until,
    requested_by, requested_at, finished_at (when all mails were written), replaced (there is a
    later one), old_starts_at, new_starts_at, old_time_zone …, old_venue_id …, told, kept,
    given_back}].

    Errors: NotFound.
    """
    events.check_owner(conn, scope, event_id)
    return _list(conn, event_id, starting_after=starting_after, limit=limit)


def _list(
    conn: Conn,
    event_id: int,
    number: int | None = None,
    starting_after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    values = {"event_id": event_id, "number": number}
    values |= {"starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_postponements, values))


def tell_buyers(conn: Conn, event_id: int, limit: int) -> bool:
    """Write mails to the next buyers, `limit` at most; whether they were the last ones."""
    values = {"event_id": event_id, "limit": limit}
    return bool(one(conn.execute(sql.tell_of_postponement, values))["finished"])


def give_back(conn: Conn, event_id: int, booking_id: UUID, buyer_id: int) -> None:
    """Give a buyer's booking of a postponed event back; a second call changes nothing.

    Errors: NotFound; Conflict not_postponed, not_confirmed, event_cancelled, too_late
    (`give_back_until`) or disputed.
    """
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    row = one(conn.execute(sql.give_back, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] == "too_late":
        until = row["until"].isoformat()
        raise Conflict(f"{REFUSALS['too_late']} {until}.", "too_late", give_back_until=until)
    if row["outcome"] in REFUSALS:
        raise Conflict(REFUSALS[row["outcome"]], row["outcome"])


REFUSALS = {
    "not_postponed": "The event has not been postponed since you booked: tickets stay yours.",
    "not_confirmed": "Only a booking that is confirmed can be given back.",
    "event_cancelled": "The event is cancelled: your money comes back without your doing.",
    "too_late": "The booking could be given back until",
    "disputed": "Your bank has the money: the dispute decides.",
}
