"""The auditor: finds in what changed whatever the whole file of invariants would, once and for as
long as it is so; puts right what is safe; and disturbs nobody."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from db.connections import Conn, one, transaction
from db.durable import jobs
from db.maintenance import findings as audit_findings
from db.maintenance.health import read_gauges
from db.maintenance.invariants import find_rows_among, invariants, violations
from tasks import clock
from tasks.durable import leases
from tests.support.corruptions import CORRUPTIONS, run_script
from tests.support.running import Running
from tests.support.theatre import another

UNSEEN = {
    "seat_not_among_items": "a seat that no item names is found by nobody's bookings",
    "seat_of_no_live_booking": "the same",
}
"""What only the whole audit finds."""


@pytest.fixture
def running(running: Running, auditor: Any, monkeypatch: pytest.MonkeyPatch) -> Running:
    """No transaction of other users is waited for, and the second look follows the first."""
    monkeypatch.setattr(audit_findings, "SLACK", "0")
    monkeypatch.setattr(auditor, "MOMENT", 0.0)
    return running


@pytest.fixture
def auditor(configured: dict[str, str]) -> Any:
    """The module, which needs settings."""
    from tasks import auditor

    return auditor


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def buyers_of(conn: Conn) -> tuple[int, list[int]]:
    query = "select min(event_id) as event, array_agg(buyer_id) as buyers from bookings"
    row = one(conn.execute(query))
    return row["event"], row["buyers"]


def found_among(conn: Conn, event: int, buyers: list[int]) -> list[str]:
    return [
        invariant.name
        for invariant in invariants()
        if invariant.about == "buyers" and find_rows_among(conn, invariant, event, buyers, 10)
    ]


@pytest.mark.slow
def test_nothing_is_wrong_with_any_of_the_bookings_alone(
    conn: Conn, every_state: dict[str, UUID]
) -> None:
    event, buyers = buyers_of(conn)
    assert len(buyers) >= 10
    for buyer in buyers:
        assert found_among(conn, event, [buyer]) == []
    assert found_among(conn, event, buyers) == []


@pytest.mark.parametrize(
    "invariant",
    [i for i in invariants() if i.about == "buyers" and i.name not in UNSEEN],
    ids=lambda invariant: invariant.name,
)
def test_it_finds_among_the_buyers_what_the_whole_file_does(
    conn: Conn, invariant: Any, every_state: dict[str, UUID]
) -> None:
    event, buyers = buyers_of(conn)
    run_script(conn, CORRUPTIONS[invariant.name], every_state)
    assert found_among(conn, event, buyers) == [invariant.name]


def audit(running: Running, actor: str = "audit_changes") -> None:
    """What the clock enqueues and a worker does."""
    from tasks import main

    with transaction() as conn:
        jobs.add_task(conn, actor, actor, {})
    leases.current_lease.set(running.lease(actor))
    main.broker.get_actor(actor).fn([])


def letters(running: Running) -> list[dict[str, Any]]:
    query = "select * from dead_letters where actor = 'audit' order by id"
    return running.conn.execute(query).fetchall()


def findings(running: Running) -> list[str]:
    return [row["args"]["invariant"] for row in letters(running) if row["resolved_at"] is None]


def forge(running: Running, script: str, **values: Any) -> None:
    """Change what constraints and triggers would refuse."""
    with running.conn.transaction():
        running.conn.execute("set local session_replication_role = replica")
        running.conn.execute(script.encode(), values)


def test_what_changed_is_checked_once(
    running: Running, auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[tuple[int, list[int]]]()
    monkeypatch.setattr(auditor, "check_buyers", lambda event, some: looks.append((event, some)))
    running.sale.hold("alice")
    audit(running)
    audit(running)
    event, buyers = buyers_of(running.conn)
    assert looks == [(event, buyers)]
    query = "select last_result from jobs where name = 'audit_changes'"
    clock.declare_jobs()
    audit(running)
    result = one(running.conn.execute(query))["last_result"]
    assert result["buyers"] == 0


def test_what_commits_late_is_not_passed_by(running: Running) -> None:
    with another(running.conn) as late:
        sale = replace(running.sale, conn=late)
        sale.hold("alice")
        audit(running)
        late.commit()
    query = "update buyer_seats set seats = seats + 1"
    running.conn.execute(query)
    audit(running)
    assert findings(running) == ["buyer_counted_wrongly"]


def test_a_payment_that_changes_has_its_booking_checked(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.sale.authorise(booking)
    audit(running)
    forge(running, "delete from outbox")
    assert findings(running) == []
    running.sale.record(booking, "unknown")
    audit(running)
    assert findings(running) == ["booking_under_way_forgotten"]


def test_a_finding_is_one_letter_for_as_long_as_it_is_so(
    running: Running, logged: list[Any]
) -> None:
    booking = running.sale.hold("alice")
    forge(running, "update booking_items set price = price - 1")
    for _ in range(2):
        audit(running)
        audit(running, "audit_whole")
        audit(running, "audit_findings")
    (letter,) = letters(running)
    assert letter["key"] == f"total_is_not_the_sum: event_id={running.sale.event} " + (
        f"booking_id={booking}"
    )
    assert (letter["booking_id"], letter["task_id"]) == (booking, 0)
    assert "not the sum of its items and its own fee" in letter["reason"]
    assert letter["args"]["row"]["total"] == 10500
    alarms = [line for line in logged if line["log_level"] == "error"]
    assert [line["invariant"] for line in alarms] == ["total_is_not_the_sum"]
    forge(running, "update booking_items set price = price + 1")
    audit(running, "audit_findings")
    (letter,) = letters(running)
    assert letter["resolution"] == "no longer so"
    forge(running, "update booking_items set price = price - 1")
    audit(running, "audit_whole")
    assert len(letters(running)) == 2


def test_its_letters_tell_nobody_that_somebody_was_called_for(running: Running) -> None:
    """Else what is forgotten would count as seen to, its letter would be closed, and so on."""
    booking = running.sale.hold("alice")
    running.sale.authorise(booking)
    forge(running, "delete from outbox")
    audit(running)
    forge(running, "delete from outbox")
    audit(running, "audit_findings")
    assert "booking_under_way_forgotten" in findings(running)


def test_what_is_seen_only_once_is_not_reported(
    running: Running, auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.sale.hold("alice")
    forge(running, "update booking_items set price = price - 1")
    mend = "update booking_items set price = price + 1"
    clock = SimpleNamespace(sleep=lambda moment: forge(running, mend), monotonic=time.monotonic)
    monkeypatch.setattr(auditor, "time", clock)
    audit(running)
    assert letters(running) == []
    forge(running, "update booking_items set price = price - 1")
    audit(running, "audit_whole")
    assert letters(running) == []


REPAIRED = {
    "booking_under_way_forgotten": """
        update payments set updated_at = now();
        delete from outbox where actor = 'advance'""",
    "refund_forgotten": "delete from outbox where actor = 'refund'",
    "email_forgotten": "delete from outbox where actor = 'send_email'",
    "buyer_counted_wrongly": "update buyer_seats set seats = seats + 1 where seats > 0",
    "stalled_for_ever": """
        update lane_state set state = 'waiting_for_seats', served_at = now();
        delete from lane_wakes;
        insert into entries (event_id, number, organisation_id, buyer_id, quantity,
            idempotency_key, request_sha256)
        select event_id, 99, 1, 99, 1, 'other', '' from lanes""",
    "standby_without_hope": """
        update lane_state set standby_from = 100; delete from lane_wakes;
        insert into entries (event_id, number, organisation_id, buyer_id, state, quantity,
            idempotency_key, request_sha256)
        select event_id, 99, 1, 99, 'standby', 1, 'other', '' from lanes""",
}


@pytest.mark.parametrize("name", REPAIRED)
def test_what_is_safe_is_put_right(running: Running, name: str) -> None:
    stage_for(running, name)
    assert violations(running.conn) == []
    for statement in REPAIRED[name].split(";"):
        forge(running, statement)
    assert [found.name for found in violations(running.conn)] == [name]
    audit(running, "audit_whole")
    assert name in findings(running)
    assert violations(running.conn) == []
    audit(running, "audit_findings")
    assert findings(running) == []


def stage_for(running: Running, name: str) -> None:
    """Something that can be forgotten; nothing else under way."""
    sale = running.sale
    if name in ("stalled_for_ever", "standby_without_hope"):
        sale.drain()
        return
    booking = sale.hold("alice")
    if name == "booking_under_way_forgotten":
        sale.authorise(booking)
    elif name != "buyer_counted_wrongly":
        sale.confirm(booking)
    if name == "refund_forgotten":
        query = "select * from request_refund(%s, null, %s, null, 100, false, 'asked', true)"
        running.conn.execute(query, [sale.event, booking])


def test_every_repair_is_of_an_invariant() -> None:
    assert {*REPAIRED, "payment_forgotten"} == set(audit_findings.REPAIRS)


def test_a_repair_that_fails_leaves_its_letter(running: Running, logged: list[Any]) -> None:
    """More seats than the cap allows: a person has to decide."""
    booking = running.sale.hold("alice")
    forge(running, "update buyer_seats set seats = 1, cap = 1")
    audit(running)
    assert findings(running) == ["buyer_counted_wrongly"]
    assert "could not repair" in [line["event"] for line in logged]
    assert running.booking(booking)["state"] == "held"


def test_the_whole_audit_goes_on_where_it_was_left(
    running: Running, auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[str]()
    monkeypatch.setattr(auditor, "check_whole", lambda invariant: looks.append(invariant.name))
    names = [invariant.name for invariant in invariants()]
    with transaction() as conn:
        for invariant in audit_findings.begin_whole(conn)[:5]:
            audit_findings.mark_done(conn, invariant, False)
    audit(running, "audit_whole")
    assert looks == names[5:]
    audit(running, "audit_whole")
    assert looks[len(names) - 5 :] == names, "a new one"


def test_a_query_that_takes_too_long_is_told_and_holds_up_no_other(
    running: Running, auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = auditor.look

    def slow(invariant: Any) -> Any:
        if invariant.name == "total_is_not_the_sum":
            with transaction(seconds=1) as conn:
                conn.execute("set local statement_timeout = '1ms'")
                conn.execute("select pg_sleep(10)")
        return look(invariant)

    monkeypatch.setattr(auditor, "look", slow)
    clock.declare_jobs()
    running.sale.hold("alice")
    forge(running, "delete from state_log")  # the last but few
    audit(running, "audit_whole")
    assert findings(running) == ["state_not_in_log"]
    query = "select last_error, last_finished_at from jobs where name = 'audit_whole'"
    job = one(running.conn.execute(query))
    assert job["last_error"].endswith("total_is_not_the_sum") and job["last_finished_at"] is None


def test_it_waits_for_no_lock_and_holds_none(running: Running) -> None:
    running.sale.hold("alice")
    with another(running.conn) as busy:
        busy.execute("update bookings set deadline = deadline")
        busy.execute("lock table booking_items in row exclusive mode")
        busy.execute("select from seats for update")
        audit(running)
        audit(running, "audit_whole")
    assert findings(running) == []


def test_metrics_count_findings_by_invariant(running: Running) -> None:
    running.sale.hold("alice")
    forge(running, "update booking_items set price = price - 1")
    audit(running)
    with transaction() as conn:
        found = {
            g.labels["invariant"]: g.value for g in read_gauges(conn) if "invariant" in g.labels
        }
    assert found.keys() == {invariant.name for invariant in invariants()}
    assert [name for name, rows in found.items() if rows] == ["total_is_not_the_sum"]
