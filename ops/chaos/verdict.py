"""The checks after a campaign of money, against the gateway's ledger. Each gives sentences about
what is wrong.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from db.connections import Conn
from ops.chaos.buyer import Told
from ops.crowd.told import some

Json = dict[str, Any]

ENDED = ("expired", "cancelled", "failed")

# settled: refunds that failed and were paid in another way: the gateway still has that money.
BOOKS = """
SELECT b.id::text, b.state, b.reason, b.total, b.currency,
    coalesce(p.captured, 0)::bigint AS captured, coalesce(p.kept, 0)::bigint AS kept,
    coalesce(r.refunded, 0)::bigint AS refunded, coalesce(r.settled, 0)::bigint AS settled,
    coalesce(d.lost, 0)::bigint AS lost
FROM bookings b
LEFT JOIN (SELECT booking_id, sum(captured) AS captured, sum(kept) AS kept
           FROM payments GROUP BY 1) p ON p.booking_id = b.id
LEFT JOIN (SELECT booking_id, sum(amount) FILTER (WHERE state <> 'failed') AS refunded,
               sum(amount) FILTER (WHERE settled_at IS NOT NULL) AS settled
           FROM refunds GROUP BY 1) r ON r.booking_id = b.id
LEFT JOIN (SELECT booking_id, sum(amount) FILTER (WHERE state = 'lost') AS lost
           FROM disputes GROUP BY 1) d ON d.booking_id = b.id
"""
DEAD_LETTERS = """
SELECT actor, reason, count(*) AS n, min(task_id) AS task_id FROM dead_letters
WHERE resolved_at IS NULL GROUP BY 1, 2
"""

NOTHING = {"captured": 0, "captures": 0, "refunded": 0, "disputed": 0, "held": 0, "intents": 0}


def read_books(conn: Conn) -> list[Json]:
    """For every booking: its total, captured and refunded amounts in the tables, in minor units."""
    return conn.execute(BOOKS).fetchall()


def beside_ledger(books: Iterable[Json], ledger: Json) -> list[tuple[Json, Json]]:
    """Pair each booking of the tables with the gateway's."""
    theirs = ledger["bookings"]
    return [(ours, NOTHING | theirs.get(ours["id"], {})) for ours in books]


def difference(pairs: Iterable[tuple[Json, Json]]) -> int:
    """Add up the difference of each booking in minor units, so that errors cannot cancel out."""
    return sum(
        abs(ours["captured"] - theirs["captured"]) + abs(ours["refunded"] - theirs["refunded"])
        for ours, theirs in pairs
    )


def check_agreement(pairs: list[tuple[Json, Json]], ledger: Json) -> Iterator[str]:
    yield from some(
        "bookings differ from the gateway's ledger",
        [
            f"{ours['id']}: captured {ours['captured']}, the gateway {theirs['captured']};"
            f" refunded {ours['refunded']}, the gateway {theirs['refunded']}"
            for ours, theirs in pairs
            if difference([(ours, theirs)])
        ],
    )
    known = {ours["id"] for ours, _ in pairs}
    yield from some(
        "intents have no booking",
        [
            f"{intent['id']} {intent['metadata']}"
            for intent in ledger["intents"]
            if intent["metadata"].get("booking_id") not in known
        ],
    )


def check_disputes(conn: Conn, ledger: Json) -> Iterator[str]:
    """Check that each dispute is as the gateway has it: an older state must not come back."""
    rows = conn.execute("SELECT gateway_ref, state FROM disputes").fetchall()
    known = {row["gateway_ref"]: row["state"] for row in rows}
    yield from some(
        "disputes differ from the gateway's",
        [
            f"{theirs['id']} is {known.get(theirs['id'])}, at the gateway {theirs['status']}"
            for theirs in ledger["disputes"]
            if known.get(theirs["id"]) != theirs["status"]
        ],
    )


def check_ends(pairs: list[tuple[Json, Json]]) -> Iterator[str]:
    yield from some(
        "bookings are not in a final state",
        [f"{o['id']} {o['state']}" for o, _ in pairs if o["state"] not in (*ENDED, "confirmed")],
    )
    yield from some(
        "confirmed but not paid once and whole",
        [
            f"{ours['id']} costs {ours['total']}, the gateway has {theirs}"
            for ours, theirs in pairs
            if ours["state"] == "confirmed" and ours["total"]
            and (theirs["captured"], theirs["captures"]) != (ours["total"], 1)
        ],
    )  # fmt: skip
    yield from some(
        "ended, and the gateway has money that should be refunded",
        [
            f"{ours['id']} {ours['state']} ({ours['reason']}): {theirs}"
            for ours, theirs in pairs
            if ours["state"] in ENDED and not is_given_back(ours, theirs)
        ],
    )
    yield from some(
        "captured twice", [f"{o['id']}: {theirs}" for o, theirs in pairs if theirs["captures"] > 1]
    )
    yield from some(
        "have an authorisation that was never voided",
        [f"{ours['id']} {ours['state']}: {theirs}" for ours, theirs in pairs if theirs["held"]],
    )


def is_given_back(ours: Json, theirs: Json) -> bool:
    """Whether the gateway of an ended booking has only what was kept, or paid back elsewhere.

    After a lost dispute it may have less: the bank takes the whole amount, whatever was paid back
    elsewhere.
    """
    left = theirs["captured"] - theirs["refunded"] - theirs["disputed"]
    decided = ours["kept"] + ours["settled"]
    return bool(left == decided or (ours["lost"] and left < decided))


# Reasons for which a confirmed booking may end.
TAKEN_BACK = ("refunded", "event_cancelled", "dispute_lost")


def check_told(told: list[Told], books: Iterable[Json]) -> Iterator[str]:
    """Check that buyers were told an outcome, and that it lasts."""
    state = {row["id"]: row for row in books}
    yield from some(
        "buyers met an error",
        [f"{one.number} ({one.manner}): {one.error}" for one in told if one.error],
    )
    yield from some(
        "buyers were not told an outcome",
        [
            f"{one.number} ({one.manner}) {one.booking_id}: {one.states}"
            for one in told
            if not one.error and not one.turned_away
            and one.states[-1:] not in [[end] for end in (*ENDED, "confirmed", "frozen")]
        ],
    )  # fmt: skip
    yield from some(
        "buyers were told an outcome that did not last",
        [
            f"{one.number} {one.booking_id}: {one.states}, then {state[one.booking_id]['state']}"
            for one in told
            if one.booking_id and not lasts(one, state[one.booking_id])
        ],
    )


def lasts(one: Told, now: Json) -> bool:
    ends = [state for state in one.states if state in (*ENDED, "confirmed", "frozen")]
    final = now["state"]
    if not ends or ends[-1] == final:
        return True
    return ends[-1] in ("confirmed", "frozen") and (
        final == "confirmed" or (final == "cancelled" and now["reason"] in TAKEN_BACK)
    )


def check_dead_letters(conn: Conn) -> Iterator[str]:
    yield from (
        f"{row['n']} dead letters of {row['actor']}: {row['reason']} (task {row['task_id']}, ...)"
        for row in conn.execute(DEAD_LETTERS)
    )
