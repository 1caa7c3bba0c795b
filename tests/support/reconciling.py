"""Reconciliations under test."""

from datetime import UTC, datetime, timedelta
from typing import Any

from db.connections import transaction
from db.payments import reconciliations
from tests.support.dashboard import dashboard as client
from tests.support.running import Running
from tests.support.waiting import wait_until

AT_WORK = "select from outbox"
LOSE_TASKS = "delete from outbox where queue = 'payments'"
AGE = "update {} set updated_at = updated_at - interval '1 hour'"


def dashboard() -> Any:
    """Stripe's client, as another program uses it that has the account."""
    return client().v1


def age(running: Running) -> None:
    """Nothing is so young that it might be under way."""
    for table in ("payments", "refunds", "disputes"):
        running.conn.execute(AGE.format(table).encode())


def start(running: Running) -> int:
    """A run over the last hour, begun."""
    age(running)
    now = datetime.now(UTC)
    with transaction("operator:1") as conn:
        (run,) = reconciliations.start(conn, now - timedelta(hours=1), now + timedelta(minutes=1))
    return run


def is_done(running: Running, run: int) -> bool:
    return bool(reconciliations.find_run(running.conn, run)["state"] == "finished")


def reconcile(running: Running) -> dict[str, Any]:
    """Run until all that it has sent on its way is done; what the run says of itself."""
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
        wait_until(lambda: not running.conn.execute(AT_WORK).fetchall())
    return reconciliations.find_run(running.conn, run)


def found(running: Running, run: dict[str, Any]) -> list[str]:
    """The kinds of difference that a run saw."""
    rows = reconciliations.list_differences(running.conn, run["id"], starting_after=0, limit=99)
    return sorted(row["kind"] for row in rows)


def totals(run: dict[str, Any]) -> list[int]:
    """Captured here and there, refunded here and there."""
    (row,) = run["totals"]
    return [
        row[f"{what}_{side}"] for what in ("captured", "refunded") for side in ("here", "there")
    ]


def expect_nothing(running: Running) -> None:
    """The next run finds both sides alike, and nothing is left open."""
    run = reconcile(running)
    assert found(running, run) == []
    for row in run["totals"]:
        assert row["captured_here"] == row["captured_there"]
        assert row["refunded_here"] == row["refunded_there"]
    assert (
        reconciliations.list_differences(running.conn, open=True, starting_after=0, limit=9) == []
    )
    assert [letter for letter in running.dead_letters() if not letter["resolved_at"]] == []
    running.check()


def expect_letter(running: Running, kind: str) -> dict[str, Any]:
    """A run reports a difference, once, however often it is seen; the letter."""
    for _ in range(2):
        assert found(running, reconcile(running)) == [kind]
    (letter,) = running.dead_letters()
    assert letter["resolved_at"] is None
    assert letter["reason"].startswith(f"{kind} ")
    return letter
