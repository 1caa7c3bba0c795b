"""Runs that compare what the gateway has with the tables, both ways, and the differences.

A run goes through PHASES page by page, each page a transaction of its own: what the gateway has of
payments, refunds and disputes, then what we have that was not among it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import InvalidRequest, NotFound

sql = load("payments/reconciliations")

PHASES = ("payments", "refunds", "disputes", "our payments", "our refunds", "our disputes")
RECENT_EVERY, RECENT = timedelta(hours=1), timedelta(hours=3)
DAYS_EVERY, DAYS = timedelta(days=1), timedelta(days=10)
"""How often the clock begins runs, and how far back they go; days: longer than an authorisation
lives, or most refunds are pending."""
LOOKUPS = 8
"""Of ours that were not seen, so many are asked for one by one in a page: with the slowest answers
within the lease of the task."""


@dataclass(frozen=True)
class Run:
    """How far a run has come. Its window is from `window_from` to before `window_to`."""

    id: int
    gateway_account_id: int
    provider: str
    window_from: datetime
    window_to: datetime
    state: str
    phase: str
    cursor: str | None


@dataclass(frozen=True)
class Payment:
    """A payment as the gateway has it. Amounts in minor units, currency in capitals.

    state: one of ours, or 'processing'. refunded: what of the captured was given back, or is on its
    way. payment_id: of the marks that we put on it; None: it is not ours.
    """

    id: str
    made_at: datetime
    state: str
    amount: int
    currency: str
    captured: int
    refunded: int
    payment_id: UUID | None


@dataclass(frozen=True)
class Refund:
    """A refund as the gateway has it, in our words. refund_id: of our marks, None: it has none."""

    id: str
    made_at: datetime
    state: str
    amount: int
    currency: str
    payment_gateway_ref: str | None
    refund_id: UUID | None


@dataclass(frozen=True)
class Dispute:
    """A dispute as the gateway has it. state: its own word."""

    id: str
    made_at: datetime
    state: str
    amount: int
    currency: str
    payment_gateway_ref: str | None


Thing = Payment | Refund | Dispute


@dataclass(frozen=True)
class Page:
    """Things of one kind, and where the next page begins; None: there is none."""

    things: Sequence[Thing]
    next_cursor: str | None


@dataclass(frozen=True)
class Unseen:
    """Of ours, what the gateway's lists did not hold; [(our id, the gateway's or None)]."""

    ids: list[tuple[str, str | None]]
    next_cursor: str | None


def start(conn: Conn, since: datetime, until: datetime) -> list[int]:
    """Begin runs over a window, one for each account at the gateway: their ids.

    The window ends now at the latest. Errors: InvalidRequest.
    """
    values = {"cause": "asked", "from": since, "to": until}
    ids = list(one(conn.execute(sql.start_reconciliations, values))["ids"])
    if not ids:
        raise InvalidRequest("A window must begin before it ends, and in the past.")
    return ids


def start_recent(conn: Conn) -> list[int]:
    """Runs over the last hours, unless the last such is under way: what no notification told."""
    return _start_back(conn, "recent", RECENT)


def start_days(conn: Conn) -> list[int]:
    """Runs over the last days, so that what changed long after it was made is found, too."""
    return _start_back(conn, "daily", DAYS)


def _start_back(conn: Conn, cause: str, back: timedelta) -> list[int]:
    row = one(conn.execute(sql.start_back, {"cause": cause, "back": back}))
    return list(row["ids"])


def get_run(conn: Conn, run_id: int) -> Run:
    """Errors: NotFound."""
    row = maybe(conn.execute(sql.get_run, {"id": run_id}))
    if row is None:
        raise NotFound
    return Run(**row)


def list_unseen(conn: Conn, run: Run) -> Unseen:
    """In a phase of ours: the next that the gateway may not know of."""
    statements = {
        "our payments": sql.list_our_payments,
        "our refunds": sql.list_our_refunds,
        "our disputes": sql.list_our_disputes,
    }
    values: dict[str, Any] = {"id": run.id, "account": run.gateway_account_id}
    values |= {"cursor": run.cursor, "lookups": LOOKUPS}
    values |= {"from": run.window_from, "to": run.window_to}
    row = one(conn.execute(statements[run.phase], values))
    ids = [(each["id"], each["gateway_ref"]) for each in row["unseen"]]
    return Unseen(ids, str(row["next_cursor"]) if row["next_cursor"] else None)


def take_page(conn: Conn, run: Run, page: Page, missing: Sequence[str] = ()) -> bool:
    """Compare a page, have differences repaired or reported, and move on to the next.

    missing: ids of ours that the gateway does not know of. Whether the run was where it was read.
    """
    phase, cursor = run.phase, page.next_cursor
    if cursor is None and phase != PHASES[-1]:
        phase = PHASES[PHASES.index(phase) + 1]
    foreign = sum(isinstance(each, Payment) and not each.payment_id for each in page.things)
    values = {"id": run.id, "phase": run.phase, "cursor": run.cursor, "next_phase": phase}
    values |= {"next_cursor": cursor, "foreign": foreign}
    values |= {"checked": len(page.things) + len(missing)}
    if maybe(conn.execute(sql.move_on, values)) is None:
        return False
    compare(conn, run, page.things)
    report_missing(conn, run, missing)
    if cursor is None and run.phase == PHASES[-1]:
        conn.execute(sql.finish_reconciliation, {"id": run.id})
    return True


def compare(conn: Conn, run: Run, things: Sequence[Thing]) -> None:
    """One statement for all differences of a page."""
    if not things:
        return
    kind = run.phase.removeprefix("our ")
    there = [{name: _plain(value) for name, value in asdict(each).items()} for each in things]
    values = {"id": run.id, "account": run.gateway_account_id, "there": Jsonb(there)}
    statements = {
        "payments": sql.compare_payments,
        "refunds": sql.compare_refunds,
        "disputes": sql.compare_disputes,
    }
    conn.execute(sql.mark_seen, {"id": run.id, "gateway_ids": [each.id for each in things]})
    _add_totals(conn, run, kind, there)
    conn.execute(statements[kind], values)


def report_missing(conn: Conn, run: Run, ids: Sequence[str]) -> None:
    """What we have, and the gateway has not."""
    if not ids:
        return
    _add_totals(conn, run, run.phase, [{"ours": id} for id in ids])
    conn.execute(sql.compare_ours, {"id": run.id, "phase": run.phase, "ids": list(ids)})


def _add_totals(conn: Conn, run: Run, phase: str, there: list[dict[str, Any]]) -> None:
    values = {"id": run.id, "account": run.gateway_account_id}
    conn.execute(sql.add_totals, values | {"phase": phase, "there": Jsonb(there)})


def _plain(value: Any) -> Any:
    """For JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def list_runs(conn: Conn, starting_after: int, limit: int) -> list[dict[str, Any]]:
    """Latest first, with their totals by currency."""
    return _list_runs(conn, None, starting_after, limit)


def find_run(conn: Conn, run_id: int) -> dict[str, Any]:
    """As in list_runs. Errors: NotFound."""
    rows = _list_runs(conn, run_id, 0, 1)
    if not rows:
        raise NotFound
    return rows[0]


def _list_runs(
    conn: Conn, run_id: int | None, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    values = {"id": run_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_runs, values))


def list_differences(
    conn: Conn, run_id: int | None = None, *, open: bool = False, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """Latest first: those that a run saw, or all. Errors: NotFound."""
    if run_id is not None:
        find_run(conn, run_id)
    values = {"run": run_id, "open": open, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_differences, values))
