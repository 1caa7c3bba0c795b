"""A small world for tests of the API: the app on a database of its own, an opera with a hall and an
event, and alice, bob and charlie, who want seats."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from db.accounts import api_keys
from db.accounts.api_keys import EVERYTHING
from db.connections import (
    Conn,
    close_own_connection,
    one,
    open_pool,
    pool,
    set_statement_limits,
    transaction,
)
from db.runtime.logs import configure_logs
from db.runtime.settings import Settings, settings
from tests.support.theatre import Theatre
from web.app import SECONDS, create_app
from web.notifications import signers
from web.support.sessions import Session, make_token
from web.support.snapshots import Snapshots

Answer = Any  # werkzeug's TestResponse, whose json is a body of any shape here
WEBHOOK_SECRET = "whsec_of_the_tests"


def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The settings of processes under test."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key for tests that is long enough for anybody",
        "ENCRYPTION_KEYS": f"tests:{'A' * 43}=",
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "SMTP_URL": "smtp://127.0.0.1:9",
        "RATE_LIMITS": "off",
    }


class Opened:
    """With what the pool was opened that the test before has left."""

    settings: Settings | None = None
    limit = 0.0


@pytest.fixture
def configured(
    database_url: str, servers: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[dict[str, str]]:
    """settings() and pool() of this process are those of the test's database."""
    values = environment(database_url, servers.redis_url)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    settings.cache_clear()
    begin, limit = settings(), SECONDS if "app" in request.fixturenames else 0
    if (Opened.settings, Opened.limit) != (begin, limit):
        close_pool()
    set_statement_limits(limit)
    yield values
    Opened.settings, Opened.limit = begin, limit
    if settings() != begin or not is_well():
        close_pool()
    set_statement_limits(0)
    settings.cache_clear()


def is_well() -> bool:
    """Whether the pool can be left for the next test."""
    if not open_pool.cache_info().currsize:
        return True
    stats = pool().get_stats()
    rests = stats["pool_size"] == stats["pool_available"] > 0 and not stats.get("requests_waiting")
    return rests and pool().away_until is None and pool().conninfo == settings().database_url


def close_pool() -> None:
    close_own_connection()
    if open_pool.cache_info().currsize:
        pool().close()
    open_pool.cache_clear()
    Opened.settings = None


@cache
def common_app(_: Settings) -> Flask:
    """The app of all tests with these settings: each new one would take 0.2 s of CPU."""
    return create_app()


def anywhere(given: Settings) -> Settings:
    """The settings without the test's own database, of which the app knows nothing."""
    return replace(given, database_url="postgresql://", database_direct_url="postgresql://")


@pytest.fixture
def app(configured: dict[str, str]) -> Flask:
    """The app, which knows nothing of other tests but what its metrics have counted."""
    app = common_app(anywhere(settings()))
    for snapshots in app.extensions.values():
        if isinstance(snapshots, Snapshots):
            snapshots._kept.clear()
    signers._known.clear()
    configure_logs("web")
    return app


@dataclass
class Caller:
    """Somebody who calls the API: `alice.get("/v1/me")`."""

    client: FlaskClient
    token: str | None = None
    id: int = 0

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, **more: Any
    ) -> Answer:
        headers = dict(more.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            more["json"] = body
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> Answer:
        return self.call("PATCH", path, body, **more)

    def delete(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("DELETE", path, body, **more)


@pytest.fixture
def anybody(app: Flask) -> Caller:
    return Caller(app.test_client())


def sign_up(client: FlaskClient, name: str) -> Caller:
    body = {"email": f"{name}@example.org", "name": name.capitalize()}
    answer = Caller(client).post("/v1/accounts", body)
    assert answer.status_code == 201, answer.text
    return Caller(client, answer.json["token"], answer.json["id"])


def token_of(buyer: int) -> str:
    """A token of a buyer that names no session."""
    token: str = make_token(Session(buyer), datetime.now(UTC))["token"]
    return token


def verify(buyer: Caller, conn: Conn) -> None:
    """The buyer has signed in by a mailed code before."""
    conn.execute("update accounts set verified_at = clock_timestamp() where id = %s", [buyer.id])


@pytest.fixture
def alice(app: Flask) -> Caller:
    return sign_up(app.test_client(), "alice")


@pytest.fixture
def bob(app: Flask) -> Caller:
    return sign_up(app.test_client(), "bob")


@pytest.fixture
def charlie(app: Flask) -> Caller:
    return sign_up(app.test_client(), "charlie")


def seller(app: Flask, role: str, organisation: str | None) -> Caller:
    with transaction() as conn:
        organisation_id = api_keys.add_organisation(conn, organisation) if organisation else None
        key = api_keys.add_key(conn, role, "tests", organisation_id, EVERYTHING)
    return Caller(app.test_client(), key, organisation_id or 0)


@pytest.fixture
def opera(app: Flask) -> Caller:
    """An organiser; `id` is that of its organisation."""
    return seller(app, "organiser", "Opera")


@pytest.fixture
def circus(app: Flask) -> Caller:
    """Another organiser."""
    return seller(app, "organiser", "Circus")


@pytest.fixture
def operator(app: Flask) -> Caller:
    return seller(app, "operator", None)


def small_hall(rows: int = 3, seats: int = 10) -> dict[str, Any]:
    """A plan: rows 1.. of `seats` seats, guids "1-1".."3-10"; the first row is "Best"."""
    return {
        "name": "Small hall",
        "size": {"width": 100, "height": 100},
        "categories": [{"name": "Best", "color": "#f00"}, {"name": "Rest", "color": "#00f"}],
        "zones": [{"name": "Floor", "position": {"x": 0, "y": 0}, "rows": [
            _row(row, seats) for row in range(1, rows + 1)]}],
    }  # fmt: skip


def _row(row: int, seats: int) -> dict[str, Any]:
    return {
        "row_number": str(row),
        "position": {"x": 0, "y": row * 10},
        "seats": [
            {
                "seat_guid": f"{row}-{seat}",
                "seat_number": str(seat),
                "category": "Best" if row == 1 else "Rest",
                "position": {"x": seat * 5, "y": 0},
            }
            for seat in range(1, seats + 1)
        ],
    }


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def event_fields(venue: dict[str, Any], plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "Tosca",
        "venue_id": venue["id"],
        "plan_version_id": plan["version_id"],
        "starts_at": in_hours(48),
        "on_sale_at": in_hours(-1),
        "off_sale_at": in_hours(24),
        "currency": "EUR",
        "categories": [
            {"category": 1, "price": 9000, "fee": 500, "tax_rate": 0.19},
            {"category": 2, "price": 5000},
        ],
    } | changes


@dataclass
class Sale:
    """An event of the opera, and what it is made of."""

    opera: Caller
    venue: dict[str, Any]
    plan: dict[str, Any]
    id: int = 0
    path: str = field(default="")

    def add_event(self, **changes: Any) -> "Sale":
        """Another draft in the same hall."""
        answer = self.opera.post("/v1/events", event_fields(self.venue, self.plan, **changes))
        assert answer.status_code == 201, answer.text
        id = answer.json["id"]
        return Sale(self.opera, self.venue, self.plan, id, f"/v1/events/{id}")

    def open(self) -> "Sale":
        answer = self.opera.post(f"{self.path}/open")
        assert answer.status_code == 200, answer.text
        return self

    def join(self, buyer: Caller, key: str | None = None, **wish: Any) -> Answer:
        body = wish if "seats" in wish else {"quantity": 2} | wish
        return buyer.post(f"{self.path}/queue", body, key=key or str(uuid.uuid4()))

    def drain(self, conn: Conn) -> None:
        """What the drain actor does: decide everybody who waits."""
        conn.execute("SELECT FROM lane_state WHERE event_id = %s FOR UPDATE", [self.id])
        conn.execute("SELECT drain_lane(%s, 500)", [self.id])

    def book(self, buyer: Caller, conn: Conn, **wish: Any) -> dict[str, Any]:
        """A held booking of a buyer, as the API shows it."""
        joined = self.join(buyer, **wish)
        assert joined.status_code == 201, joined.text
        self.drain(conn)
        entry = buyer.get(f"{self.path}/queue/{joined.json['id']}").json
        assert entry["state"] == "booked", entry
        booking: dict[str, Any] = buyer.get(f"{self.path}/bookings/{entry['booking_id']}").json
        return booking


@pytest.fixture
def hall(opera: Caller) -> Sale:
    """The opera's small hall, without an event."""
    venue = opera.post("/v1/venues", {"name": "Opera", "time_zone": "Europe/Berlin"})
    assert venue.status_code == 201, venue.text
    plan = opera.post(f"/v1/venues/{venue.json['id']}/plans", small_hall())
    assert plan.status_code == 201, plan.text
    return Sale(opera, venue.json, plan.json)


@pytest.fixture
def tosca(hall: Sale) -> Sale:
    """An event on sale now: 10 seats at 95.00 and 20 at 50.00."""
    return hall.add_event().open()


CARD = {"payment_method": "pm_card_visa"}


def path_of(sale: Sale, booking: dict[str, str]) -> str:
    return f"{sale.path}/bookings/{booking['id']}"


def pay(sale: Sale, buyer: Caller, booking: dict[str, str], key: str = "pay") -> Answer:
    return buyer.post(f"{path_of(sale, booking)}/payment", CARD, key=key)


@pytest.fixture
def paid(tosca: Sale, alice: Caller, conn: Conn) -> dict[str, Any]:
    """Alice's two best seats, for 190.00, confirmed as the saga would."""
    booking = tosca.book(alice, conn, seats=["1-1", "1-2"])
    backstage(tosca, conn).confirm(UUID(booking["id"]))
    conn.execute("DELETE FROM outbox")
    return booking


def backstage(sale: Sale, conn: Conn) -> Theatre:
    """The same event, without the API."""
    query = "select organisation_id, plan_version_id, gateway_account_id from events where id = %s"
    return Theatre(conn, sale.id, *one(conn.execute(query, [sale.id])).values())
