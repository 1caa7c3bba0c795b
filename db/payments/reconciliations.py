"""Reconciliations: runs that compare the gateway's lists with the tables, and their differences.

A run goes through PHASES page by page, each page in its own transaction: first the payments,
refunds and disputes of the gateway, then those of the tables that were not among them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.accounts.audit_log import audit
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import InvalidRequest, NotFound

sql = load("payments/reconciliations")

PHASES = ("payments", "refunds", "disputes", "our payments", "our refunds", "our disputes")
RECENT_EVERY, RECENT = timedelta(hours=1), timedelta(hours=3)
DAYS_EVERY, DAYS = timedelta(days=1), timedelta(days=10)
"""How often the clock begins runs, and how far back they go. Days: longer than the life of an
authorisation, and than most refunds are pending."""
LOOKUPS = 8
"""Unseen objects of a page that the gateway is asked about one by one: few enough that even the
slowest answers come within the lease of the task."""


@dataclass(frozen=True)
class Run:
    """The progress of a run. Its window is from `window_from` to before `window_to`."""

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

    state: one of Usher's, or 'processing'. refunded: the part of the captured money that is
    refunded or on its way back. payment_id: from Usher's metadata; None: it is not Usher's.
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
    """A refund as the gateway has it. state: one of Usher's. refund_id: from Usher's metadata, or
    None."""

    id: str
    made_at: datetime
    state: str
    amount: int
    currency: str
    payment_gateway_ref: str | None
    refund_id: UUID | None


@dataclass(frozen=True)
class Dispute:
    """A dispute as the gateway has it. state: the gateway's own word."""

    id: str
    made_at: datetime
    state: str
    amount: int
    currency: str
    payment_gateway_ref: str | None


Thing = Payment | Refund | Dispute


@dataclass(frozen=True)
class Page:
    """Objects of one kind, and where the next page begins; None: it is the last page."""

    things: Sequence[Thing]
    next_cursor: str | None


@dataclass(frozen=True)
class Unseen:
    """Objects that the gateway's lists did not contain: [(Usher's id, the gateway's or None)]."""

    ids: list[tuple[str, str | None]]
    next_cursor: str | None


def start(conn: Conn, since: datetime, until: datetime) -> list[int]:
    """Begin runs over a window, one for each account at the gateway, and return their ids.

    A window ends now at the latest. Errors: InvalidRequest.
    """
    values = {"cause": "asked", "from": since, "to": until}
    ids = list(one(conn.execute(sql.start_reconciliations, values))["ids"])
    if not ids:
        raise InvalidRequest("A window must begin before it ends, and in the past.")
    window = {"from": since.isoformat(), "until": until.isoformat()}
    audit(conn, "reconciliation started", None, window | {"reconciliations": ids})
    return ids


def start_recent(conn: Conn) -> list[int]:
    """Begin runs over the last hours, which find what no notification told, unless the last such
    runs have not ended."""
    return _start_back(conn, "recent", RECENT)


def start_days(conn: Conn) -> list[int]:
    """Begin runs over the last days, which also find objects that changed long after they were
    made."""
    return _start_back(conn, "daily", DAYS)


def _start_back(conn: Conn, cause: str, back: timedelta) -> list[int]:
    row = one(conn.execute(sql.start_back, {"cause": cause, "back": back}))
    return list(row["ids"])


def get_run(conn: Conn, run_id: int) -> Run:
    """Read the progress of a run. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_run, {"id": run_id}))
    if row is None:
        raise NotFound
    return Run(**row)


def list_unseen(conn: Conn, run: Run) -> Unseen:
    """List the next objects that the gateway may not know, in a phase that reads the tables."""
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
    """Compare a page, repair or report its differences, and move on to the next page.

    missing: ids that the gateway does not know. False: another worker has moved the run on.
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
    """Record all differences of a page, in one statement."""
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
    """Record differences for objects that the gateway does not know."""
    if not ids:
        return
    _add_totals(conn, run, run.phase, [{"ours": id} for id in ids])
    conn.execute(sql.compare_ours, {"id": run.id, "phase": run.phase, "ids": list(ids)})


def _add_totals(conn: Conn, run: Run, phase: str, there: list[dict[str, Any]]) -> None:
    values = {"id": run.id, "account": run.gateway_account_id}
    conn.execute(sql.add_totals, values | {"phase": phase, "there": Jsonb(there)})


def _plain(value: Any) -> Any:
    """Convert a value for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def list_runs(conn: Conn, starting_after: int, limit: int) -> list[dict[str, Any]]:
    """Runs with their totals by currency, the latest first."""
    return _list_runs(conn, None, starting_after, limit)


def find_run(conn: Conn, run_id: int) -> dict[str, Any]:
    """A run as in list_runs. Errors: NotFound."""
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
    """Differences that a run saw, or all, the latest first. Errors: NotFound."""
    if run_id is not None:
        find_run(conn, run_id)
    values = {"run": run_id, "open": open, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_differences, values))
