"""The gateway: turns, the circuit breaker with its outages, and finding out what happened."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from db import payments
from db.connections import pool, transaction
from db.logs import configure_logs
from db.payments import Outcome, Progress
from db.settings import settings
from ops.supervisor import ROOT
from tasks import breaker, stripe_calls
from tasks import stripe_gateway as gateway
from tasks.breaker import FAILURES, GatewayAway, breaker_for
from tasks.durable import TryLater
from tasks.gateway import NothingHappened, Refused, UnknownOutcome
from tests.running import Running
from tests.waiting import wait_until

CREATE = "POST /v1/payment_intents"


def begun(running: Running, booking: UUID) -> Progress:
    """A payment that is about to be sent, as the saga has it."""
    running.pay(booking)
    row = running.booking(booking)
    payments.mark_sent(running.conn, row["payment_id"])
    return payments.get_progress(running.conn, row["event_id"], booking)


def again(running: Running, progress: Progress) -> Progress:
    return payments.get_progress(running.conn, progress.event_id, progress.booking_id)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """The results, or exceptions, of calls that begin at the same time."""
    barrier, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = acts[place]()
        except Exception as error:
            results[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def turn(conn: Any, per_second: float = 10, patience: float = 5) -> float | None:
    return payments.take_turn(conn, 1, "create", per_second, patience)


# Turns


def test_turns_are_spaced(running: Running) -> None:
    with transaction() as conn:
        turns = [turn(conn, per_second=1) or 0 for _ in range(5)]
    assert turns[0] == 0
    assert turns[1:] == pytest.approx([1, 2, 3, 4], abs=0.5)


def test_a_turn_too_far_away_is_not_given_and_not_taken(running: Running) -> None:
    with transaction() as conn:
        turns = [turn(conn, per_second=1, patience=3) for _ in range(7)]
        assert [value is None for value in turns] == [False] * 4 + [True] * 3
        assert turn(conn, per_second=1, patience=4) == pytest.approx(4, abs=0.2)


def test_a_limit_that_was_not_used_is_not_saved_up(running: Running) -> None:
    turn(running.conn)
    running.conn.execute("update gateway_turns set next_at = now() - interval '1 hour'")
    assert turn(running.conn) == 0
    assert (turn(running.conn) or 0) > 0.05


def test_a_limit_that_is_used_up_hands_the_task_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_calls, "PATIENCE", 0.1)
    progress = begun(running, running.sale.hold("alice"))
    query = "insert into gateway_turns values (%s, 'create', now() + interval '1 hour')"
    running.conn.execute(query, [progress.gateway_account_id])
    with pytest.raises(TryLater, match="limit is used up"):
        gateway.authorise(progress)
    assert running.sandbox.calls()["total"] == 0


def test_all_threads_together_keep_the_limit_and_wait_without_a_connection(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_LIMIT", "10")
    settings.cache_clear()
    pool().resize(1, 1)
    progress = begun(running, running.sale.hold("alice"))
    start = time.monotonic()
    at_once(*[lambda: stripe_calls.wait_for_turn(progress.gateway_account_id, "any")] * 6)
    assert 0.5 <= time.monotonic() - start < 1.5
    assert 1 / settings().gateway_limit == 0.1


# The breaker


def fail(running: Running, progress: Progress, times: int) -> list[type[BaseException]]:
    """Calls while the gateway cannot be reached."""
    running.sandbox.faults(drop_before_rate=1)
    raised: list[type[BaseException]] = []
    for _ in range(times):
        with pytest.raises((UnknownOutcome, GatewayAway)) as caught:
            gateway.authorise(progress)
        raised.append(caught.type)
    running.sandbox.faults(drop_before_rate=0)
    return raised


def outages(running: Running) -> list[bool]:
    """For each outage, whether it is over."""
    query = "select closed_at is not null as closed from outages order by opened_at"
    return [row["closed"] for row in running.conn.execute(query)]


def rested(progress: Progress) -> None:
    """Wait until the breaker tries again."""
    account = breaker_for(progress.gateway_account_id)
    opened = account.circuit._state_storage.opened_at
    assert opened
    wait_until(lambda: time.time() > opened.timestamp() + account.circuit.reset_timeout)


def test_it_opens_writes_the_outage_down_and_closes_it(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    raised = fail(running, progress, FAILURES + 3)
    assert raised == [UnknownOutcome] * FAILURES + [GatewayAway] * 3
    assert running.sandbox.calls()["total"] <= FAILURES
    assert outages(running) == [False]
    rested(progress)
    assert gateway.authorise(progress).state == "authorised"
    assert outages(running) == [True]
    assert gateway.authorise(progress).state == "authorised"


def test_a_probe_that_fails_keeps_the_outage_open(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES)
    rested(progress)
    assert fail(running, progress, 2) == [UnknownOutcome, GatewayAway]
    assert outages(running) == [False]


def test_the_clock_has_a_gateway_asked_that_nobody_else_asks(running: Running) -> None:
    """Lanes wait for it, so there may be no payment that would find out."""
    account = begun(running, running.sale.hold("alice")).gateway_account_id
    payments.open_outage(running.conn, account)
    for _ in range(2):
        payments.probe_gateways(running.conn)
    with running.work():
        wait_until(lambda: outages(running) == [True])
    assert payments.probe_gateways(running.conn) == 0


def test_one_probe_at_a_time(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES)
    rested(progress)
    running.sandbox.faults(latency_ms=300)
    before = running.sandbox.calls()["total"]
    results = at_once(*[lambda: gateway.authorise(progress)] * 6)
    assert [type(result) for result in results].count(Outcome) == 1
    assert [type(result) for result in results].count(GatewayAway) == 5
    assert running.sandbox.calls()["total"] == before + 1


def test_a_probe_that_dies_leaves_the_way_free(running: Running) -> None:
    """Whatever ends a probe, the next one may go."""
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES)
    rested(progress)
    with pytest.raises(KeyboardInterrupt), breaker_for(progress.gateway_account_id).calling():
        raise KeyboardInterrupt
    rested(progress)
    assert gateway.authorise(progress).state == "authorised"


def test_calls_run_at_the_same_time(running: Running) -> None:
    """pybreaker's own call() would let one through after the other."""
    progress = begun(running, running.sale.hold("alice"))
    gateway.authorise(progress)
    running.sandbox.faults(latency_ms=400)
    start = time.monotonic()
    results = at_once(*[lambda: gateway.authorise(progress)] * 5)
    assert time.monotonic() - start < 1.6
    assert {result.gateway_id for result in results} == {results[0].gateway_id}


def test_threads_do_not_mix_their_answers_up(running: Running) -> None:
    """One client is shared by all threads."""
    begins = [begun(running, running.sale.hold(f"buyer{n}")) for n in range(8)]
    results = at_once(*[lambda progress=p: gateway.authorise(progress) for p in begins])
    ours = {str(p.payment_id): r.gateway_id for p, r in zip(begins, results, strict=True)}
    ledger = running.sandbox.ledger()["intents"]
    assert ours == {intent["metadata"]["payment_id"]: intent["id"] for intent in ledger}


@pytest.mark.parametrize("trouble", ["decline", "limit"])
def test_answers_that_are_no_failures_do_not_open_it(running: Running, trouble: str) -> None:
    progress = begun(running, running.sale.hold("alice"))
    if trouble == "decline":
        declined = {"payment_method": "pm_card_visa_chargeDeclined"}
        progress.params.update(declined)
    else:
        shot = {"call": CREATE, "kind": "lock_timeout", "times": 2 * FAILURES}
        running.sandbox.faults(next=[shot])
    for _ in range(2 * FAILURES):
        try:
            assert gateway.authorise(progress).state == "failed"
        except TryLater as error:
            assert "rate limited" in str(error)
    assert outages(running) == []


def test_an_outage_that_a_dead_process_left_open_is_closed(running: Running) -> None:
    """Else all holds would be credited its time, for good."""
    progress = begun(running, running.sale.hold("alice"))
    payments.open_outage(running.conn, progress.gateway_account_id)
    gateway.authorise(progress)
    assert outages(running) == [True]


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


def test_postgres_away_while_it_opens(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outage cannot be written down: the next failure does it."""
    progress = begun(running, running.sale.hold("alice"))
    fail(running, progress, FAILURES - 1)
    running.conn.execute("alter table outages rename to away")
    running.sandbox.faults(drop_before_rate=1)
    with pytest.raises(Exception, match="outages"):
        gateway.authorise(progress)
    running.conn.execute("alter table away rename to outages")
    fail(running, progress, 1)
    assert outages(running) == [False]


# Finding out


def test_the_same_key_gives_the_same_payment(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    outcomes = [gateway.authorise(progress) for _ in range(3)]
    assert len({outcome.gateway_id for outcome in outcomes}) == 1
    assert len(running.intents(progress.booking_id)) == 1


def test_what_the_gateway_repeats_is_not_taken_for_news(running: Running) -> None:
    """Under its key it repeats how the payment was when it was made."""
    progress = begun(running, running.sale.hold("alice"))
    made = gateway.authorise(progress)
    gateway.cancel(progress, made.gateway_id)
    assert (made.state, gateway.authorise(progress).state) == ("authorised", "voided")


def test_other_parameters_under_the_same_key_are_refused(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    gateway.authorise(progress)
    progress.params["amount"] = 1
    with pytest.raises(Refused):
        gateway.authorise(progress)


def test_what_the_gateway_refuses_is_told_to_the_buyer(running: Running) -> None:
    """In our words."""
    from tasks import bookings

    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, "pm_card_unheard_of")
        running.wait_for(booking, "held")
    assert running.payment(payment)["failure_code"] == "refused"
    assert running.payment(payment)["failure_message"] == bookings.REFUSED


def test_a_key_that_is_not_accepted_is_our_trouble_not_the_buyers(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    configure_logs("worker")
    with monkeypatch.context() as patch:
        patch.setenv("STRIPE_API_KEY", "a wrong one")
        settings.cache_clear()
        stripe_calls.client.cache_clear()
        with running.work():
            wait_until(lambda: running.tasks()[0]["errors"])
    (task,) = running.tasks()
    assert "does not accept our key" in str(task["errors"])
    assert task["failures"] == 0
    assert running.payment(payment)["failure_code"] is None
    assert running.booking(booking)["state"] == "authorising"
    assert "STRIPE_API_KEY" in capsys.readouterr().out
    settings.cache_clear()
    stripe_calls.client.cache_clear()
    running.conn.execute("update outbox set run_at = now(), resend_at = now()")
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_a_payment_is_found_by_our_id(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    gateway.authorise(begun(running, running.sale.hold("bob")))
    with pytest.raises(NothingHappened):
        gateway.find(progress)
    made = gateway.authorise(progress)
    assert gateway.find(progress).gateway_id == made.gateway_id


def test_a_payment_made_at_the_last_of_many_tries_is_found(running: Running) -> None:
    """The first was sent yesterday, and the gateway has forgotten its keys since."""
    progress = begun(running, running.sale.hold("alice"))
    made = gateway.authorise(progress)
    running.conn.execute("update payments set first_sent_at = now() - interval '21 h'")
    progress = again(running, progress)
    assert progress.key_too_old
    assert gateway.authorise(progress).gateway_id == made.gateway_id
    assert len(running.intents(progress.booking_id)) == 1


def test_an_old_key_under_which_nothing_happened_is_followed_by_the_next(running: Running) -> None:
    booking = running.sale.hold("alice")
    progress = begun(running, booking)
    running.conn.execute("update payments set first_sent_at = now() - interval '21 h'")
    with running.work():
        running.wait_for(booking, "confirmed")
    assert running.payment(UUID(str(progress.payment_id)))["idempotency_n"] == 2
    assert len(running.intents(booking)) == 1


def test_nothing_is_known_of_a_request_that_may_still_arrive(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    with pytest.raises(TryLater, match="on its way"):
        gateway.look(progress)
    running.conn.execute("update payments set updated_at = now() - interval '2 min'")
    with pytest.raises(NothingHappened):
        gateway.look(again(running, progress))


def test_capture_and_cancel_tell_what_the_payment_is_already(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    made = gateway.authorise(progress)
    payments.record(running.conn, progress, made)
    progress = again(running, progress)
    assert [gateway.capture(progress).state for _ in range(2)] == ["captured"] * 2
    assert gateway.cancel(progress, made.gateway_id).state == "captured"
    other = gateway.authorise(bob := begun(running, running.sale.hold("bob")))
    payments.record(running.conn, bob, other)
    bob = again(running, bob)
    assert [gateway.cancel(bob, other.gateway_id).state for _ in range(2)] == ["voided"] * 2
    assert gateway.capture(bob).state == "voided"


def test_its_patience_fits_into_a_worker_s_last_seconds() -> None:
    """25 s to end in good order: --worker-shutdown-timeout in the Procfile."""
    procfile = (ROOT / "Procfile").read_text()
    assert procfile.count("--worker-shutdown-timeout 25000") == 2
    assert stripe_calls.PATIENCE + 3 + 10 < 25
    assert breaker.REST > 0


def test_the_sandbox_dies_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import signal; from ops.sandbox.process import start_sandbox;"
        "print(start_sandbox().process.pid, flush=True); signal.pause()"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout
    pid = int(starter.stdout.readline())
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    starter.stdout.close()
