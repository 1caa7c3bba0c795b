"""Tasks under test: relay and workers as threads of this process, on the test's own database, with
the Stripe sandbox and the mail catcher as processes of their own.

    def test_it_pays(running: Running) -> None:
        booking = running.sale.hold("alice")
        with running.work():
            running.pay(booking)
            running.wait_for(booking, "confirmed")
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import dramatiq
import pytest
import requests

from db.connections import Conn, one, pool, transaction
from db.maintenance.invariants import violations
from db.runtime.settings import settings
from ops.local.servers import free_port, tethered
from ops.local.supervisor import ROOT
from ops.sandbox.stripe.process import Sandbox, running_sandbox
from tests.support.notifying import news
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until
from web.api.gateway_notifications import store

PACE = "0.02"
"""Leases, resends and retries take so many times as long as in production."""


class Catcher:
    """The mail catcher, a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.smtp_port, self.http_port = free_port(), free_port()
        ports = ["--smtp-port", str(self.smtp_port), "--http-port", str(self.http_port)]
        command = [sys.executable, "-m", "ops.sandbox.mail_catcher", *ports, "--dir", str(folder)]
        self.process = tethered(command, subprocess.DEVNULL, cwd=ROOT)
        wait_until(self._answers, 20)

    def _answers(self) -> bool:
        try:
            return requests.get(self._url("readyz"), timeout=2).ok
        except requests.RequestException:
            return False

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}/{path}"

    def clear(self) -> None:
        requests.delete(self._url("messages"), timeout=5).raise_for_status()
        self.misbehave()

    def misbehave(self, **faults: Any) -> None:
        """See ops.sandbox.mail_catcher.Faults; without arguments it behaves again."""
        requests.post(self._url("faults"), json=faults, timeout=5).raise_for_status()

    def mails(self, to: str = "") -> list[EmailMessage]:
        """Newest first."""
        answer = requests.get(self._url("messages"), params={"to": to}, timeout=5)
        return [self._read(mail["id"]) for mail in answer.json()]

    def _read(self, mail_id: str) -> EmailMessage:
        source = requests.get(self._url(f"messages/{mail_id}/raw"), timeout=5).content
        message = message_from_bytes(source, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass
class Running:
    """An event on sale in a database of its own, and all that its bookings need."""

    conn: Conn
    sale: Theatre
    sandbox: Sandbox
    catcher: Catcher

    @contextmanager
    def work(self, threads: int = 4, *, relays: int = 1) -> Iterator[None]:
        """Relay and carry out tasks while the block lasts."""
        from tasks import main, relay

        stop = threading.Event()
        helpers = [threading.Thread(target=relay.run, args=[stop]) for _ in range(relays)]
        worker = dramatiq.Worker(main.broker, worker_timeout=20, worker_threads=threads)
        worker.start()
        for helper in helpers:
            helper.start()
        try:
            yield
        finally:
            stop.set()
            for helper in helpers:
                helper.join()
            worker.stop()
            # Each worker adds one, for good: the hundredth would log a hundred warnings.
            main.broker.middleware[:] = [
                one for one in main.broker.middleware if type(one).__name__ != "_WorkerMiddleware"
            ]

    def lease(self, actor: str = "advance") -> Any:
        """The lease of the only task of an actor, taken as a worker takes it."""
        from tasks import main
        from tasks.durable import leases

        (task,) = self.tasks(actor)
        lease = leases.take_lease([task["id"]], leases.policies[getattr(main, actor).actor_name])
        assert lease.tasks, "somebody has it"
        return lease

    def tick(self) -> None:
        """What the clock does from time to time."""
        self.conn.execute("select expire_holds(100)")

    def pay(self, booking: UUID, card: str | None = "pm_card_visa", method: str = "card") -> UUID:
        """The buyer pays; the attempt's id."""
        query = """
            select s.outcome, s.payment_id from bookings b,
                start_payment(b.event_id, b.id, b.buyer_id, %s, 'https://usher.example', %s) s
            where b.id = %s"""
        row = one(self.conn.execute(query, [card, method, booking]))
        assert row["outcome"] == "started", row
        return UUID(str(row["payment_id"]))

    def cancel(self, booking: UUID) -> str:
        """The buyer gives it up; the state that it was in."""
        query = "select cancel_booking(event_id, id, buyer_id) as was from bookings where id = %s"
        with transaction("buyer") as conn:
            return str(one(conn.execute(query, [booking]))["was"])

    def somebody_waits(self) -> bool:
        """Whether a transaction on this database waits for a lock."""
        query = """
            select from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database()"""
        return bool(self.conn.execute(query).fetchall())

    def pass_deadline(self, booking: UUID) -> None:
        """The time to pay is over; the backlog's grace and whatever is on its way too."""
        query = "update bookings set deadline = now() - interval '2 min' where id = %s"
        self.conn.execute(query, [booking])
        self.conn.execute("update payments set updated_at = now() - interval '2 min'")
        self.tick()

    def notify(self, payment: UUID, says: str) -> bool:
        """The gateway tells us something; whether it was news."""
        return store(news(payment, says)) == "news"

    def booking(self, booking: UUID) -> dict[str, Any]:
        query = "select * from bookings where id = %s"
        return one(self.conn.execute(query, [booking]))

    def payment(self, payment: UUID) -> dict[str, Any]:
        query = "select * from payments where id = %s"
        return one(self.conn.execute(query, [payment]))

    def tasks(self, actor: str = "advance") -> list[dict[str, Any]]:
        query = "select * from outbox where actor = %s order by id"
        return self.conn.execute(query, [actor]).fetchall()

    def dead_letters(self) -> list[dict[str, Any]]:
        return self.conn.execute("select * from dead_letters order by id").fetchall()

    def wait_for(self, booking: UUID, state: str) -> None:
        """Until the booking is in that state and nobody works on it any more."""
        wait_until(lambda: self.booking(booking)["state"] == state and not self.tasks())

    def seats(self, booking: UUID) -> list[str]:
        """The states of the seats that a booking has."""
        query = "select state from seats where booking_id = %s"
        return [row["state"] for row in self.conn.execute(query, [booking])]

    def intents(self, booking: UUID) -> list[dict[str, Any]]:
        """What the gateway has of a booking: see ops.sandbox.stripe.ledger."""
        found: list[dict[str, Any]] = self.sandbox.ledger()["intents"]
        return [intent for intent in found if intent["metadata"]["booking_id"] == str(booking)]

    def check(self) -> None:
        """What must never be, is not."""
        assert violations(self.conn) == []


@pytest.fixture(scope="session")
def gateway_sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def catcher_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    catcher = Catcher(tmp_path_factory.mktemp("mail"))
    yield catcher
    catcher.process.terminate()
    catcher.process.wait()


@pytest.fixture
def running(
    configured: dict[str, str],
    conn: Conn,
    redis_url: str,
    gateway_sandbox: Sandbox,
    catcher_process: Catcher,
    monkeypatch: pytest.MonkeyPatch,
) -> Running:
    gateway_sandbox.reset()
    catcher_process.clear()
    monkeypatch.setenv("STRIPE_API_BASE", gateway_sandbox.url)
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{catcher_process.smtp_port}")
    monkeypatch.setenv("TASK_PACE", PACE)
    settings.cache_clear()
    from tasks.gateways import circuit_breaker
    from tasks.gateways.stripe import accounts

    accounts.forget_all()
    circuit_breaker.troubled.clear()
    pool()
    return Running(conn, build_evening(conn), gateway_sandbox, catcher_process)
