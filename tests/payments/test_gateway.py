"""Stripe: finding out what happened. What all gateways do is in tests/payments/test_gateways.py."""

import os
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from uuid import UUID

import pytest
import urllib3

from db.bookings import bookings
from db.payments import circuits, payments
from db.payments.payments import PaymentProgress
from db.presentation.gateway_words import FAILURES
from db.runtime.logs import configure_logs
from db.runtime.settings import settings
from ops.local.supervisor import ROOT
from tasks.durable import shutdown
from tasks.gateways.errors import NothingHappened, Refused
from tasks.gateways.stripe import accounts, connections
from tasks.gateways.stripe import payments as gateway
from tasks.gateways.stripe.client import LONGEST_WAIT
from tests.support.gateway_calls import begun
from tests.support.running import Running
from tests.support.waiting import wait_until


def again(running: Running, progress: PaymentProgress) -> PaymentProgress:
    return payments.get_progress(running.conn, progress.event_id, progress.booking_id)


def test_what_the_gateway_repeats_is_not_taken_for_news(running: Running) -> None:
    """Under its key it repeats how the payment was when it was made."""
    progress = begun(running, running.sale.hold("alice"))
    made = gateway.authorise(progress)
    gateway.cancel(progress, made.gateway_ref)
    assert (made.state, gateway.authorise(progress).state) == ("authorised", "voided")


def test_other_parameters_under_the_same_key_are_refused(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    gateway.authorise(progress)
    progress.params["amount"] = 1
    with pytest.raises(Refused):
        gateway.authorise(progress)


def test_what_the_gateway_refuses_is_told_to_the_buyer(running: Running) -> None:
    """In our words; the row has the gateway's, for those who look into it."""
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, "pm_card_unheard_of")
        running.wait_for(booking, "held")
    assert running.payment(payment)["failure_code"] == "refused"
    assert "pm_card_unheard_of" in running.payment(payment)["failure_message"]
    buyer = running.booking(booking)["buyer_id"]
    seen = bookings.get_booking(running.conn, running.sale.event, booking, buyer)
    assert seen["payment"]["failure"] == {"code": "refused", "message": FAILURES["refused"]}


def test_a_key_that_is_not_accepted_is_our_trouble_not_the_buyers(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    configure_logs("worker")
    with monkeypatch.context() as patch:
        patch.setenv("STRIPE_API_KEY", "a wrong one")
        settings.cache_clear()
        accounts.forget_all()
        with running.work():
            wait_until(lambda: running.tasks()[0]["errors"])
    (task,) = running.tasks()
    assert "does not accept our key" in str(task["errors"])
    assert task["failures"] == 0
    assert running.payment(payment)["failure_code"] is None
    assert running.booking(booking)["state"] == "authorising"
    assert "STRIPE_API_KEY" in capsys.readouterr().out
    settings.cache_clear()
    accounts.forget_all()
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
    assert gateway.find(progress).gateway_ref == made.gateway_ref


def test_an_old_key_under_which_nothing_happened_is_followed_by_the_next(running: Running) -> None:
    booking = running.sale.hold("alice")
    progress = begun(running, booking)
    running.conn.execute("update payments set first_sent_at = now() - interval '21 h'")
    with running.work():
        running.wait_for(booking, "confirmed")
    assert running.payment(UUID(str(progress.payment_id)))["idempotency_n"] == 2
    assert len(running.intents(booking)) == 1


def test_its_patience_fits_into_a_worker_s_last_seconds() -> None:
    """25 s to end in good order: --worker-shutdown-timeout in the Procfile, and Dramatiq looks only
    every second whether it was told to."""
    procfile = (ROOT / "Procfile").read_text()
    assert procfile.count("--worker-shutdown-timeout 22000") == 3
    assert min(shutdown.TIME, circuits.PROBE) > LONGEST_WAIT + 3 + 10
    assert shutdown.TIME < 22


def basic_auth(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("named", "address", "sent"),
    [
        ("proxy.example:3128", "http://proxy.example:3128", {}),
        ("https://proxy.example:3128", "https://proxy.example:3128", {}),
        (
            "http://usher:p%40ss%3A%2F@proxy.example:3128",
            "http://usher:p%40ss%3A%2F@proxy.example:3128",
            {"Proxy-Authorization": basic_auth("usher", "p@ss:/")},
        ),
    ],
)
def test_a_proxy_is_read_as_operators_write_it(
    monkeypatch: pytest.MonkeyPatch, named: str, address: str, sent: dict[str, str]
) -> None:
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", named)
    through = connections.connections("https://api.stripe.example")
    assert isinstance(through, urllib3.ProxyManager) and str(through.proxy) == address
    assert through.proxy_headers == sent
    monkeypatch.setenv("NO_PROXY", ".stripe.example")
    assert type(connections.connections("https://api.stripe.example")) is urllib3.PoolManager


@pytest.mark.processes
def test_the_sandbox_dies_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import signal; from ops.sandbox.stripe.process import start_sandbox;"
        "print(start_sandbox().process.pid, flush=True); signal.pause()"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout
    pid = int(starter.stdout.readline())
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    starter.stdout.close()
