"""What still works while something is away, or wrong: ops/docs/degraded.md, row by row.

All of Usher as processes, over HTTP; none is restarted by anybody but its own fault.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from db.connections import Conn, one
from db.maintenance.invariants import violations
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.local.stack import Stack
from ops.plans.square import square_plan
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

PATIENCE = 60
FORMATION = {"web": 1, "relay": 1, "clock": 1, "worker": 1, "mailer": 1, "keeper": 1}
Json = dict[str, Any]


@dataclass
class Box:
    """A stack and an event that sells directly, without a queue; and who watches."""

    stack: Stack
    event: int
    numbers: Iterator[int] = field(default_factory=count)

    def buyer(self) -> "Visitor":
        return Visitor(self)

    @contextmanager
    def look(self) -> Iterator[Conn]:
        url = self.stack.database_url
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
            yield conn

    def row(self, query: str, *values: Any) -> Json:
        with self.look() as conn:
            return one(conn.execute(query.encode(), values))

    def is_quiet(self) -> bool:
        query = "select count(*) as n from outbox"
        return bool(self.row(query)["n"] == 0)

    def check(self) -> None:
        """Everything came to its end, nobody had to be started again, and nothing is wrong."""
        wait_until(self.is_quiet, PATIENCE)
        with self.look() as conn:
            assert violations(conn) == []
        processes = self.stack.supervisor.processes.values()
        assert {process.name: process.starts for process in processes if process.starts > 1} == {}

    def mails_to(self, email: str) -> int:
        answer = requests.get(f"{self.stack.catcher_url}/messages", {"to": email}, timeout=10)
        return len(answer.json())


class Visitor:
    """A buyer with an account."""

    def __init__(self, box: Box) -> None:
        self.box, self.keys = box, count()
        self.email = f"visitor-{next(box.numbers)}@usher.example"
        self.http = requests.Session()
        made = self.call("POST", "/v1/accounts", {"email": self.email, "name": "A visitor"})
        assert made.status_code == 201, made.text
        self.http.headers["Authorization"] = f"Bearer {made.json()['token']}"

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> requests.Response:
        headers = {"Idempotency-Key": key or f"key-{next(self.keys)}"}
        url = self.box.stack.web_url + path
        return self.http.request(method, url, json=body, headers=headers, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> requests.Response:
        return self.call(method, f"/v1/events/{self.box.event}{path}", body, key)

    def book(self, key: str = "") -> requests.Response:
        return self.ask("POST", "/bookings", {"quantity": 2}, key)

    def pay(self, booking: str, card: str = "pm_card_visa") -> requests.Response:
        return self.ask("POST", f"/bookings/{booking}/payment", {"payment_method": card})

    def buy(self) -> str:
        """A booking, on its way to be paid."""
        booked = self.book()
        assert booked.status_code == 201, booked.text
        booking = str(booked.json()["id"])
        started = self.pay(booking)
        assert started.status_code == 202, started.text
        return booking

    def state(self, booking: str) -> str:
        answer = self.ask("GET", f"/bookings/{booking}")
        return str(answer.json()["state"]) if answer.ok else ""

    def wait_for(self, booking: str, state: str = "confirmed") -> None:
        wait_until(lambda: self.state(booking) == state, PATIENCE)


def is_come_back(answer: requests.Response) -> bool:
    """503, and when to try again."""
    return answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


@contextmanager
def opened(folder: Path, **env: str) -> Iterator[Box]:
    env = {"TASK_PACE": "0.05", **env}
    with Stack(folder / "var", FORMATION, env=env, say=lambda line: None) as stack:
        hall = folder / "hall.json"
        hall.write_text(json.dumps(square_plan(200)))
        key = new_api_key(stack.database_url)
        yield Box(stack, put_on_sale(stack.web_url, key, hall, hold_seconds=120, gated=False))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with opened(tmp_path_factory.mktemp("box")) as made:
        yield made


def test_redis_away(box: Box) -> None:
    """The API sells; what workers would do waits, and is done when it is back, empty."""
    assert box.stack.redis
    early, late = box.buyer(), box.buyer()
    box.stack.redis.stop()
    booking = early.buy()
    joined = late.ask("POST", "/queue", {"quantity": 1})
    assert joined.status_code == 201
    assert early.state(booking) == "authorising"
    assert box.row("select count(*) as n from outbox where actor = 'advance'")["n"] == 1
    box.stack.redis.start()
    early.wait_for(booking)
    entry = f"/queue/{joined.json()['id']}"
    wait_until(lambda: late.ask("GET", entry).json()["state"] == "booked", PATIENCE)
    wait_until(lambda: box.mails_to(early.email), PATIENCE)
    box.check()


def test_postgres_away(box: Box) -> None:
    """503 with Retry-After, also after a crash; then every process goes on by itself."""
    assert box.stack.postgres
    visitor = box.buyer()
    before = visitor.buy()
    box.stack.postgres.stop("immediate")
    assert is_come_back(visitor.book("the same"))
    assert is_come_back(visitor.ask("GET", f"/bookings/{before}"))
    assert requests.get(f"{box.stack.web_url}/healthz", timeout=10).ok
    box.stack.postgres.start()
    wait_until(lambda: visitor.book("the same").status_code == 201, PATIENCE)
    visitor.wait_for(before)
    box.check()


def test_mail_away(box: Box) -> None:
    """Tickets are there; their mail waits."""
    visitor = box.buyer()
    box.stack.supervisor.kill("catcher", SIGSTOP)
    booking = visitor.buy()
    visitor.wait_for(booking)
    assert len(visitor.ask("GET", f"/bookings/{booking}/tickets").json()) == 2
    waiting = "select count(*) as n from emails where state = 'pending' and booking_id = %s"
    assert box.row(waiting, booking)["n"] == 1
    box.stack.supervisor.kill("catcher", SIGCONT)
    wait_until(lambda: box.mails_to(visitor.email), PATIENCE)
    box.check()


def test_stripe_away(box: Box) -> None:
    """Seats are held and kept; payments go on when it is back, each charged once."""
    visitor = box.buyer()
    box.stack.sandbox.faults(drop_before_rate=1)
    booking = visitor.buy()
    failed = "select count(*) as n from outbox where actor = 'advance' and failures > 0"
    wait_until(lambda: box.row(failed)["n"], PATIENCE)
    assert visitor.state(booking) == "authorising"
    box.stack.sandbox.faults(drop_before_rate=0)
    visitor.wait_for(booking)
    intents = box.stack.sandbox.ledger()["intents"]
    mine = [one for one in intents if one["metadata"]["booking_id"] == booking]
    assert [one["charges"] for one in mine] == [1]
    box.check()


# What Postgres says when it cannot make a file longer.
FULL = [
    """create function disk_full() returns trigger language plpgsql as $$
    begin
        raise 'could not extend file: No space left on device' using errcode = 'disk_full';
    end $$""",
    *(
        f"create trigger full_{table} before {what} on {table} execute function disk_full()"
        for what, table in [
            ("insert", "entries"), ("insert", "bookings"), ("insert", "outbox"),
            ("update", "payments"),
        ]
    ),
]  # fmt: skip
ROOM = "drop function disk_full cascade"


def test_disk_full(box: Box) -> None:
    """Whatever has to be written is 503; what was accepted before is carried on, and reads work."""
    visitor = box.buyer()
    paying, holding = visitor.buy(), str(visitor.book().json()["id"])
    with box.look() as conn:
        for statement in FULL:
            conn.execute(statement.encode())
        assert is_come_back(visitor.book("the same"))
        assert is_come_back(visitor.ask("POST", "/queue", {"quantity": 1}))
        refused = visitor.pay(holding)
        assert is_come_back(refused)
        assert "stored" in refused.json()["detail"]
        assert visitor.state(holding) == "held"
        conn.execute(ROOM)
    assert visitor.book("the same").status_code == 201
    assert visitor.pay(holding).status_code == 202
    for booking in (paying, holding):
        visitor.wait_for(booking)
    box.check()


SHIFTED = """
import datetime, os, time

MINUTES = {"web": 10, "worker": 10, "relay": -10, "clock": -10, "mailer": -10, "keeper": 10}
shift = 60 * MINUTES.get(os.environ.get("DYNO", "").partition(".")[0], 0)
seconds, nanoseconds, real = time.time, time.time_ns, datetime.datetime


class Meta(type):
    def __instancecheck__(cls, thing):
        return isinstance(thing, real)


class Shifted(real, metaclass=Meta):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=shift)


if shift:
    time.time = lambda: seconds() + shift
    time.time_ns = lambda: nanoseconds() + shift * 10**9
    datetime.datetime = Shifted
"""


@pytest.fixture
def skewed(tmp_path: Path) -> Iterator[Box]:
    """Whose processes disagree by twenty minutes, while Postgres and the gateway are right."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SHIFTED)
    with opened(tmp_path, PYTHONPATH=str(site)) as made:
        yield made


@pytest.mark.system
def test_clocks_are_wrong(skewed: Box) -> None:
    """All deadlines are by the database's clock; the gateway's notifications are believed, and
    codes to sign in are good for their ten minutes.
    """
    visitor = skewed.buyer()
    booking = visitor.buy()
    visitor.wait_for(booking)
    wait_until(lambda: skewed.mails_to(visitor.email), PATIENCE)
    held = visitor.book().json()
    assert 60 < held["seconds_left"] <= 120
    past = "update bookings set deadline = clock_timestamp() + interval '1 s' where id = %s"
    with skewed.look() as conn:
        conn.execute(past, [held["id"]])
    visitor.wait_for(held["id"], "expired")
    ended = "select clock_timestamp() > deadline as ended from bookings where id = %s"
    assert skewed.row(ended, held["id"])["ended"]
    wait_until(lambda: skewed.stack.sandbox.calls()["webhooks"]["delivered"], PATIENCE)
    asked = visitor.call("POST", "/v1/tokens", {"email": visitor.email})
    assert asked.status_code == 202
    sent = "select context ->> 'code' as code from emails where template = 'sign_in'"
    code = skewed.row(sent)["code"]
    assert (
        visitor.call(
            "POST", "/v1/tokens", {"code": code} | {"request": asked.json()["request"]}
        ).status_code
        == 201
    )
    skewed.check()
