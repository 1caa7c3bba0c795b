"""The circuit breaker, whose state all workers share, and its outages."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import stripe

from db.connections import transaction
from db.payments import circuits
from db.payments.circuits import Priority, Slot
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.runtime.settings import settings
from ops.local.servers import free_port
from ops.local.supervisor import ROOT
from tasks.durable.leases import TryLater
from tasks.gateways.circuit_breaker import FAILURES, GatewayAway, calling
from tasks.gateways.errors import NothingHappened, Refused, UnknownOutcome
from tasks.gateways.stripe import client
from tasks.gateways.stripe import payments as gateway
from tests.support.gateway_calls import at_once, begun
from tests.support.running import Running
from tests.support.waiting import wait_until

CREATE = "POST /v1/payment_intents"
ANY = Priority(book=5, wait=5)


def fail(running: Running, progress: PaymentProgress, times: int = 1) -> list[type[BaseException]]:
    """Calls while the gateway cannot be reached."""
    running.sandbox.faults(drop_before_rate=1)
    raised: list[type[BaseException]] = []
    for _ in range(times):
        with pytest.raises((UnknownOutcome, GatewayAway)) as caught:
            gateway.authorise(progress)
        raised.append(caught.type)
    running.sandbox.faults(drop_before_rate=0)
    return raised


def circuit(running: Running) -> dict[str, Any]:
    found = running.conn.execute("select * from gateway_circuits").fetchall()
    return found[0] if found else {"state": "closed", "failures": 0, "probes": 0}


def outages(running: Running) -> list[bool]:
    """For each outage, whether it is over."""
    query = "select closed_at is not null as closed from outages order by opened_at"
    return [row["closed"] for row in running.conn.execute(query)]


def go_away(running: Running) -> PaymentProgress:
    """The gateway's circuit is open, and nobody calls it for an hour; a payment to be sent."""
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES)
    running.conn.execute("update gateway_circuits set retry_at = now() + interval '1 hour'")
    return progress


def rested(running: Running) -> None:
    """It is time to find out whether the gateway is back."""
    running.conn.execute("update gateway_circuits set retry_at = clock_timestamp()")


def ask(progress: PaymentProgress) -> Slot:
    with transaction() as conn:
        return circuits.take_slots(conn, progress.gateway_account_id, "create", ANY)[0]


def test_it_opens_writes_the_outage_down_and_closes_it(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    assert fail(running, progress, FAILURES) == [UnknownOutcome] * FAILURES
    assert outages(running) == [False]
    running.conn.execute("update gateway_circuits set retry_at = now() + interval '1 hour'")
    assert fail(running, progress, 3) == [GatewayAway] * 3
    assert running.sandbox.calls()["total"] <= FAILURES
    rested(running)
    assert gateway.authorise(progress).state == "authorised"
    assert outages(running) == [True]
    assert gateway.authorise(progress).state == "authorised"
    assert (circuit(running)["state"], circuit(running)["probes"]) == ("closed", 0)


def test_a_success_between_failures_begins_anew(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES - 1)
    assert gateway.authorise(progress).state == "authorised"
    fail(running, progress, FAILURES - 1)
    assert circuit(running)["failures"] == FAILURES - 1
    assert outages(running) == []


ANOTHER_WORKER = """
from tasks.gateways.stripe import client as stripe
from tasks.gateways.circuit_breaker import GatewayAway
from tasks.gateways.errors import UnknownOutcome

for _ in range({times}):
    try:
        stripe.call(
            account := stripe.Account({account}),
            "list",
            lambda: stripe.client(account).v1.payment_intents.list(),
        )
        print("answered")
    except (UnknownOutcome, GatewayAway) as error:
        print(type(error).__name__)
"""


def another_worker(progress: PaymentProgress, times: int) -> list[str]:
    """What became of the calls of another process."""
    code = ANOTHER_WORKER.format(times=times, account=progress.gateway_account_id)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    words = ("answered", "UnknownOutcome", "GatewayAway")
    return [line for line in ran.stdout.splitlines() if line in words]


def test_all_workers_have_one_state(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    running.sandbox.faults(drop_before_rate=1)
    assert another_worker(progress, FAILURES - 1) == ["UnknownOutcome"] * (FAILURES - 1)
    assert outages(running) == []
    fail(running, progress)
    assert outages(running) == [False]
    running.conn.execute("update gateway_circuits set retry_at = now() + interval '1 hour'")
    assert fail(running, progress) == [GatewayAway]
    assert another_worker(progress, 2) == ["GatewayAway"] * 2
    rested(running)
    assert another_worker(progress, 1) == ["answered"]
    assert gateway.authorise(progress).state == "authorised"
    assert outages(running) == [True]


def test_calls_that_fail_together_make_one_outage(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    running.sandbox.faults(drop_before_rate=1)
    results = at_once(*[lambda: gateway.authorise(progress)] * 8)
    assert all(isinstance(each, UnknownOutcome | GatewayAway) for each in results), results
    assert outages(running) == [False]


def test_a_probe_that_fails_keeps_the_outage_open(running: Running) -> None:
    progress = go_away(running)
    rested(running)
    assert fail(running, progress) == [UnknownOutcome]
    assert (circuit(running)["state"], circuit(running)["probes"]) == ("open", 1)
    assert outages(running) == [False]


def test_one_probe_at_a_time(running: Running) -> None:
    progress = go_away(running)
    rested(running)
    running.sandbox.faults(latency_ms=300)
    before = running.sandbox.calls()["total"]
    results = at_once(*[lambda: gateway.authorise(progress)] * 6)
    assert [type(result) for result in results].count(PaymentOutcome) == 1
    assert [type(result) for result in results].count(GatewayAway) == 5
    assert running.sandbox.calls()["total"] == before + 1


def test_a_probe_that_raises_something_else_found_nothing_out(running: Running) -> None:
    progress = go_away(running)
    rested(running)
    with pytest.raises(KeyboardInterrupt), calling(progress.gateway_account_id, ask(progress)):
        raise KeyboardInterrupt
    assert circuit(running)["state"] == "open"
    rested(running)
    assert gateway.authorise(progress).state == "authorised"


def test_a_probe_whose_worker_died_is_followed_by_another(running: Running) -> None:
    """And should it not be dead, but late, what it says counts no more."""
    progress = go_away(running)
    rested(running)
    first = ask(progress)
    assert (first.state, first.probe) == ("half-open", 1)
    assert ask(progress).state == "open"
    rested(running)
    second = ask(progress)
    assert (second.state, second.probe) == ("half-open", 2)
    with calling(progress.gateway_account_id, first):
        pass
    assert circuit(running)["state"] == "half-open"
    assert not circuits.open_circuit(running.conn, progress.gateway_account_id, first.probe)
    with calling(progress.gateway_account_id, second):
        pass
    assert circuit(running)["state"] == "closed"
    assert outages(running) == [True]


def test_a_probe_s_permission_lapses_by_itself(running: Running) -> None:
    progress = go_away(running)
    rested(running)
    assert ask(progress).state == "half-open"
    wait_until(lambda: ask(progress).state == "half-open")  # 20 s at the tests' pace


def test_a_call_from_before_the_outage_changes_nothing(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    early = ask(progress)
    fail(running, progress, FAILURES)
    before = circuit(running)
    late = stripe.APIConnectionError("late")  # type: ignore[no-untyped-call]
    for error in (None, late):
        with suppress(stripe.APIConnectionError), calling(progress.gateway_account_id, early):
            if error:
                raise error
    assert circuit(running) == before


def test_who_waits_for_a_turn_while_it_opens_does_not_call(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = begun(running, running.sale.hold("alice"))
    running.conn.execute(
        "insert into gateway_slots values (%s, 'create', clock_timestamp() + interval '2 s')",
        [progress.gateway_account_id],
    )

    def open_meanwhile(seconds: float) -> None:
        assert seconds > 1
        circuits.open_circuit(running.conn, progress.gateway_account_id)

    monkeypatch.setattr(time, "sleep", open_meanwhile)
    with pytest.raises(GatewayAway):
        gateway.authorise(progress)
    assert running.sandbox.calls()["total"] == 0


def test_each_probe_that_fails_doubles_the_rest_and_all_are_jittered(running: Running) -> None:
    account = begun(running, running.sale.hold("alice")).gateway_account_id

    def rests(probes: int) -> list[float]:
        found = []
        for _ in range(40):
            running.conn.execute(
                "update gateway_circuits set state = 'half-open', probes = %s, retry_at = now()",
                [probes],
            )
            row = running.conn.execute(
                "select open_circuit(%s, %s, 1000, 60000) as done, extract(epoch from"
                " (select retry_at from gateway_circuits) - clock_timestamp())::float8",
                [account, probes],
            ).fetchone()
            assert row and row["done"]
            row = running.conn.execute(
                "select extract(epoch from retry_at - clock_timestamp())::float8 as rest"
                " from gateway_circuits"
            ).fetchone()
            assert row
            found.append(row["rest"])
        return found

    circuits.open_circuit(running.conn, account)
    for probes, longest in ((0, 1000), (3, 8000), (30, 60000)):
        found = rests(probes)
        assert longest / 2 < max(found) < longest
        assert min(found) < longest / 2


def test_calls_run_at_the_same_time(running: Running) -> None:
    """pybreaker's own call() would let one through after the other."""
    progress = begun(running, running.sale.hold("alice"))
    gateway.authorise(progress)
    running.sandbox.faults(latency_ms=50)
    together, most = set(), []

    def work() -> None:
        together.add(threading.get_ident())
        most.append(len(together))
        barrier.wait(10)
        together.discard(threading.get_ident())

    barrier = threading.Barrier(4)
    account = client.Account(progress.gateway_account_id)
    assert at_once(*[lambda: client.call(account, "list", work, ANY)] * 4) == [None] * 4
    assert max(most) == 4


def test_threads_do_not_mix_their_answers_up(running: Running) -> None:
    """One client is shared by all threads."""
    begins = [begun(running, running.sale.hold(f"buyer{n}")) for n in range(8)]
    results = at_once(*[lambda progress=p: gateway.authorise(progress) for p in begins])
    ours = {str(p.payment_id): r.gateway_ref for p, r in zip(begins, results, strict=True)}
    ledger = running.sandbox.ledger()["intents"]
    assert ours == {intent["metadata"]["payment_id"]: intent["id"] for intent in ledger}


Trouble = Callable[[Running, PaymentProgress], Any]


def once(kind: str) -> Trouble:
    def act(running: Running, progress: PaymentProgress) -> Any:
        running.sandbox.faults(next=[{"call": CREATE, "kind": kind}])
        return gateway.authorise(progress)

    return act


def sent_with(**params: str) -> Trouble:
    def act(running: Running, progress: PaymentProgress) -> Any:
        return gateway.authorise(replace(progress, params=progress.params | params))

    return act


def replayed(running: Running, progress: PaymentProgress) -> Any:
    with pytest.raises(UnknownOutcome):
        once("fail_before")(running, progress)
    return gateway.authorise(progress)


def too_often(running: Running, progress: PaymentProgress) -> Any:
    running.sandbox.limits(endpoint_rate=1)
    gateway.look(replace(progress, gateway_ref=gateway.authorise(progress).gateway_ref))
    return gateway.authorise(progress)


def same_key_at_once(running: Running, progress: PaymentProgress) -> Any:
    running.sandbox.faults(latency_ms=500)
    results = at_once(*[lambda: gateway.authorise(progress)] * 2)
    (error,) = [each for each in results if isinstance(each, Exception)]
    raise error


@pytest.mark.parametrize(
    ("act", "expected", "failures", "pauses"),
    [
        pytest.param(
            sent_with(payment_method="pm_card_visa_chargeDeclined"), "failed", 0, False,
            id="declined",
        ),
        pytest.param(
            sent_with(payment_method="pm_card_unheard_of"), Refused, 0, False, id="permanent"
        ),
        pytest.param(once("drop_after"), UnknownOutcome, 1, False, id="unknown-dropped"),
        pytest.param(once("fail_after"), UnknownOutcome, 1, False, id="unknown-500"),
        pytest.param(replayed, NothingHappened, 0, False, id="nothing-happened"),
        pytest.param(too_often, "rate limited", 0, True, id="rate-limited"),
        pytest.param(once("lock_timeout"), "rate limited", 0, False, id="lock-timeout"),
        pytest.param(same_key_at_once, "still under way", 0, False, id="409"),
    ],
)  # fmt: skip
def test_troubles_are_told_apart(
    running: Running,
    act: Trouble,
    expected: str | type[Exception],
    failures: int,
    pauses: bool,
) -> None:
    """A decline is an outcome, and so is what is known to have failed; the rest is an error, of
    which only an unknown outcome counts against the gateway."""
    progress = begun(running, running.sale.hold("alice"))
    try:
        if expected == "failed":
            assert act(running, progress).state == "failed"
        elif isinstance(expected, str):
            with pytest.raises(TryLater, match=expected):
                act(running, progress)
        else:
            with pytest.raises(expected) as caught:
                act(running, progress)
            assert caught.type is expected
    finally:
        running.sandbox.limits(endpoint_rate=0)
    assert circuit(running)["failures"] == failures
    query = "select from gateway_slots where next_at > clock_timestamp() + interval '0.3 s'"
    assert bool(running.conn.execute(query).fetchall()) == pauses


@pytest.mark.parametrize("act", [sent_with(payment_method="pm_card_visa_chargeDeclined"),
                                 sent_with(payment_method="pm_card_unheard_of"),
                                 once("lock_timeout")])  # fmt: skip
def test_answers_close_it(running: Running, act: Trouble) -> None:
    """Whatever it says: a gateway that answers is back."""
    progress = go_away(running)
    rested(running)
    with suppress(Refused, TryLater):
        act(running, progress)
    assert circuit(running)["state"] == "closed"
    assert outages(running) == [True]


def test_faults_of_ours_are_none_of_the_gateway_s(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    account = client.Account(progress.gateway_account_id)
    for _ in range(2 * FAILURES):
        with pytest.raises(ZeroDivisionError):
            client.call(account, "create", lambda: 1 / 0)
    assert outages(running) == []


def test_the_clock_has_a_gateway_asked_that_nobody_else_asks(running: Running) -> None:
    """Lanes wait for it, so there may be no payment that would find out."""
    account = running.booking(running.sale.hold("alice"))["gateway_account_id"]
    circuits.open_circuit(running.conn, account)
    rested(running)
    for _ in range(2):
        circuits.probe_gateways(running.conn)
    with running.work():
        wait_until(lambda: outages(running) == [True])
    assert circuits.probe_gateways(running.conn) == 0
    calls = running.sandbox.calls()["counts"]
    assert calls["GET /v1/payment_intents"]["200"] == 1


def test_redis_has_no_part_in_it(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    progress = go_away(running)
    assert fail(running, progress) == [GatewayAway]
    rested(running)
    assert another_worker(progress, 1) == ["answered"]
    assert gateway.authorise(progress).state == "authorised"


def test_postgres_away_while_it_opens(running: Running) -> None:
    """What became of the call is told all the same; the next failure opens it."""
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES - 1)
    running.conn.execute("alter table outages rename to away")
    assert fail(running, progress) == [UnknownOutcome]
    running.conn.execute("alter table away rename to outages")
    assert outages(running) == []
    fail(running, progress)
    assert outages(running) == [False]


def test_bookings_get_through_an_outage(running: Running) -> None:
    bookings = [running.sale.hold(f"buyer{n}") for n in range(6)]
    running.sandbox.faults(drop_after_rate=1)
    with running.work():
        for booking in bookings:
            running.pay(booking)
        wait_until(lambda: outages(running) == [False])
        running.sandbox.faults(drop_after_rate=0)
        for booking in bookings:
            running.wait_for(booking, "confirmed")
        assert all(outages(running))
    ledger = running.sandbox.ledger()
    assert ledger["charged_twice"] == []
    assert ledger["currencies"]["eur"]["captured"] == 6 * 10500
    assert ledger["currencies"]["eur"]["held"] == 0
    running.check()


def test_time_without_a_gateway_is_credited(running: Running) -> None:
    """A hold does not expire for an outage that the buyer could do nothing about."""
    booking = running.sale.hold("alice")
    account = running.booking(booking)["gateway_account_id"]
    running.conn.execute(
        "update bookings set created_at = now() - interval '10 min',"
        " deadline = now() - interval '1 min'"
    )
    running.conn.execute(
        "insert into outages values (%s, now() - interval '5 min', now() - interval '3 min')",
        [account],
    )
    running.tick()
    assert running.booking(booking)["state"] == "held"
    running.conn.execute("update outages set closed_at = opened_at + interval '30 s'")
    running.tick()
    assert running.booking(booking)["state"] == "expired"
