"""A run of the reconciliation: pages, limits, windows, and what operators see."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from db.connections import transaction
from db.payments import reconciliations
from db.runtime.errors import InvalidRequest
from ops.console import commands as console
from tests.support import archiving
from tests.support.paying import PRICE, confirmed
from tests.support.reconciling import (
    LOSE_TASKS,
    age,
    dashboard,
    found,
    is_done,
    reconcile,
    start,
    totals,
)
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import seller

INTENTS = "GET /v1/payment_intents"


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.gateways.stripe import lists

    monkeypatch.setattr(lists, "PAGE", 2)


def test_a_run_goes_on_where_it_was_stopped(running: Running, pages_of_two: None) -> None:
    """Between any two pages; each thing is looked at once."""
    from tasks import reconciliation
    from tasks.durable.leases import MovedOn

    for name in ("alice", "bob", "charlie", "dora", "eve"):
        confirmed(running, name)
    running.conn.execute(LOSE_TASKS)
    run = start(running)
    lease = running.lease("reconcile")
    for _ in range(2):
        at = reconciliations.get_run(running.conn, run)
        reconciliation.take_page(lease, at)
    with pytest.raises(MovedOn):
        reconciliation.take_page(lease, at)
    assert reconciliations.find_run(running.conn, run)["checked"] == 4
    running.conn.execute("update outbox set lease_until = now() where actor = 'reconcile'")
    with running.work():
        wait_until(lambda: is_done(running, run))
    done = reconciliations.find_run(running.conn, run)
    assert (done["checked"], done["differences"]) == (5, 0)
    assert totals(done) == [5 * PRICE, 5 * PRICE, 0, 0]


def test_the_gateways_limit_is_waited_out(running: Running, pages_of_two: None) -> None:
    for name in ("alice", "bob", "charlie"):
        confirmed(running, name)
    running.sandbox.limits(endpoint_rate=1)
    try:
        run = reconcile(running)
    finally:
        running.sandbox.limits(endpoint_rate=0)
    assert (run["checked"], run["differences"]) == (3, 0)
    assert running.sandbox.calls()["counts"][INTENTS]["429"] > 0
    assert running.dead_letters() == []


def test_what_was_asked_so_far_is_a_page_where_others_go_first(running: Running) -> None:
    """Ours are asked for one by one: each goes on from where the one before had no turn."""
    from tasks import reconciliation
    from tasks.durable.leases import TryLater

    for name in ("alice", "bob", "charlie"):
        confirmed(running, name)
    running.conn.execute(LOSE_TASKS)
    run = start(running)
    running.conn.execute("update reconciliations set phase = 'our payments'")
    lease = running.lease("reconcile")
    asked: list[str] = []

    def find(_: reconciliations.Run, gateway_ref: str) -> None:
        if len(asked) in (0, 2):
            asked.append("no turn")
            raise TryLater(1, "others go first")
        asked.append(gateway_ref)

    at = reconciliations.get_run(running.conn, run)
    with pytest.raises(TryLater):
        reconciliation.ask_for_ours(lease, at, find)
    page, missing = reconciliation.ask_for_ours(lease, at, find)
    assert (len(missing), page.next_cursor) == (1, missing[0])
    with lease.transaction() as conn:
        assert reconciliations.take_page(conn, at, page, missing)
    at = reconciliations.get_run(running.conn, run)
    page, rest = reconciliation.ask_for_ours(lease, at, find)
    assert (len({*missing, *rest}), page.next_cursor) == (3, None)


def test_accounts_that_are_one_at_the_gateway_are_one_run(running: Running) -> None:
    """Each organisation has a row; the installation has one account at Stripe."""
    confirmed(running)
    running.conn.execute("insert into organisations (name) values ('Circus')")
    running.conn.execute(
        "insert into gateway_accounts (organisation_id, provider) select id, 'stripe'"
        " from organisations"
    )
    assert reconcile(running)["checked"] == 1
    assert running.conn.execute("select count(*) as n from reconciliations").fetchall() == [
        {"n": 1}
    ]


def test_the_clock_begins_no_second_run_beside_one(running: Running) -> None:
    with transaction("clock") as conn:
        (first,) = reconciliations.start_recent(conn)
        assert reconciliations.start_recent(conn) == []
        (other,) = reconciliations.start_days(conn)
    running.conn.execute("delete from outbox where key = %s", [str(first)])
    with transaction("clock") as conn:
        assert len(reconciliations.start_recent(conn)) == 1
    states = [reconciliations.find_run(running.conn, id)["state"] for id in (first, other)]
    assert states == ["abandoned", "running"]


def test_operators_see_runs_and_differences(running: Running, app: Flask) -> None:
    operator, opera = seller(app, "operator", None), seller(app, "organiser", "Opera")
    running.sale.dispute(confirmed(running))
    first, second = (reconcile(running)["id"] for _ in range(2))
    path = "/v1/reconciliations"
    page = operator.get(f"{path}?limit=1")
    assert [run["id"] for run in page.json] == [second]
    assert page.json[0]["totals"][0]["captured_there"] == PRICE
    following = page.headers["Link"].split(">")[0].lstrip("<")
    assert [run["id"] for run in operator.get(following).json] == [first]
    assert operator.get(f"{path}/{first}").json["dead_letters"] == 1
    for url in (f"{path}/{first}/differences", f"{path}/differences?open=true"):
        (row,) = operator.get(url).json
        assert (row["kind"], row["found_by"], row["seen_by"]) == ("dispute_missing", first, second)
        assert (row["here"]["amount"], row["there"]) == (PRICE, None)
    assert operator.get(f"{path}/99/differences").status_code == 404
    assert opera.get(path).status_code == 403
    metrics = operator.get("/metrics").text
    labels = 'kind="dispute_missing",state="reported"'
    assert f"usher_reconciliation_differences{{{labels}}} 1.0" in metrics
    assert "usher_reconciliation_age_seconds " in metrics


def test_the_console_begins_a_run_and_shows_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 1000})
    age(running)
    with running.work():
        wanted = console.read_command(["reconcile", "--from", "2020-01-01", "--to", "2099-01-01"])
        wanted.run(wanted)
        shown = capsys.readouterr().out
        wait_until(lambda: not running.tasks("adopt_refund"))
    assert "2 compared, 0 not Usher's, 1 different, 1 sent to be repaired, 0 reported" in shown
    assert "EUR captured: here 10500, there 10500, diff 0" in shown
    assert "EUR refunded: here 0, there 1000, diff 1000" in shown
    assert "refund_unknown" in shown
    wanted = console.read_command(["reconciliations"])
    wanted.run(wanted)
    assert "1 different" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("since", "until"), [("2020-01-02", "2020-01-01"), ("2099-01-01", "2099-01-02")]
)
def test_a_window_in_which_nothing_can_be(running: Running, since: str, until: str) -> None:
    wanted = console.read_command(["reconcile", "--from", since, "--to", until])
    with pytest.raises(InvalidRequest, match="must begin before it ends, and in the past"):
        wanted.run(wanted)
    assert reconciliations.list_runs(running.conn, 0, 9) == []


def test_a_window_from_before_there_were_times(running: Running) -> None:
    """The gateway has none before 1970, and our ids neither."""
    confirmed(running)
    age(running)
    running.sandbox.reset()
    with transaction("operator:1") as conn:
        (run,) = reconciliations.start(conn, datetime(1, 1, 1, tzinfo=UTC), datetime.now(UTC))
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert found(running, reconciliations.find_run(running.conn, run)) == ["payment_missing"]


def test_what_is_archived_is_no_difference(running: Running) -> None:
    """Nobody is told to give its money back."""
    confirmed(running)
    archiving.end(running.sale)
    archiving.move_all(running.sale)
    run = reconcile(running)
    assert found(running, run) == [] and running.dead_letters() == []
    assert run["totals"] == []
