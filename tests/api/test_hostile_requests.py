"""What is allowed, and abused: spelling, weights, headers, metrics, standby."""

import hashlib
import json
import uuid
from typing import Any

import pytest
from gunicorn.http.errors import InvalidChunkSize
from marshmallow import Schema

from db.connections import Conn
from db.runtime.settings import settings
from tests.support.world import Caller, Sale
from web.api.bookings import NewBooking, NewPayment
from web.api.queues import Wish
from web.api.refunds import NewRefund
from web.support.idempotency import fingerprint
from web.support.metrics import may_scrape


@pytest.mark.faults("idempotency")
def test_one_key_is_one_request_however_the_path_is_spelt(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn, seats=["1-1"])
    paths = [
        f"{tosca.path}/bookings/{spelt}/payment"
        for spelt in (booking["id"], booking["id"].upper(), booking["id"].title())
    ]
    body = {"payment_method": "pm_card_visa"}
    answers = [alice.post(path, body, key="once") for path in paths]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json["payment"]["id"] for answer in answers}) == 1
    assert alice.post(paths[0].replace("/events/", "/events/0"), body).status_code == 404


SEATS = {"accept_terms": False, "accessible": 0, "category": None, "quantity": 1, "seats": None}
FIRST: dict[type[Schema], tuple[dict[str, Any], dict[str, Any]]] = {
    Wish: ({"quantity": 1}, SEATS | {"admission": False, "together": True}),
    NewBooking: ({"quantity": 1}, SEATS | {"queue_pass": None, "together": True}),
    NewPayment: (
        {"payment_method": "pm_card_visa"},
        {"method": "card", "payment_method": "pm_card_visa"},
    ),
    NewRefund: (
        {"reason": "ill"},
        {"amount": None, "reason": "ill", "resell": True, "tickets": None, "with_fees": True},
    ),
}


@pytest.mark.faults("idempotency")
@pytest.mark.parametrize("body", FIRST)
def test_a_body_is_hashed_as_in_the_first_version(body: type[Schema]) -> None:
    """A field that came later has no default: it would make another request of the same words."""
    given, hashed = FIRST[body]
    words = json.dumps(hashed, sort_keys=True)
    assert fingerprint(body().load(given)) == hashlib.sha256(words.encode()).digest()


@pytest.mark.faults("weight")
@pytest.mark.parametrize(("weight", "own", "operators"), [(100, 403, 200), (0.01, 403, 200)])
def test_a_weight_beyond_a_range_is_the_operators(
    tosca: Sale, operator: Caller, weight: float, own: int, operators: int
) -> None:
    path = f"{tosca.path}/lane"
    assert tosca.opera.patch(path, {"weight": weight}).status_code == own
    assert tosca.opera.patch(path, {"weight": 2}).status_code == 200
    assert operator.patch(path, {"weight": weight}).status_code == operators


@pytest.mark.faults("headers")
def test_answers_are_not_guessed_embedded_or_kept(
    anybody: Caller, tosca: Sale, alice: Caller
) -> None:
    for answer in (alice.get("/v1/me"), anybody.get("/v1/nothing"), anybody.get("/docs")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert alice.get("/v1/me").headers["Cache-Control"] == "no-store"
    first, fast = (anybody.get(f"{tosca.path}/queue") for _ in range(2))
    assert first.headers["Cache-Control"] == fast.headers["Cache-Control"] == "public, max-age=2"
    assert first.headers["X-Content-Type-Options"] == fast.headers["X-Content-Type-Options"]


@pytest.mark.faults("metrics")
@pytest.mark.parametrize(
    ("authorization", "peer", "forwarded", "token", "shown"),
    [
        ("", "127.0.0.1", False, "", True),
        ("", "10.1.2.3", False, "", True),
        ("", "127.0.0.1", True, "", False),
        ("", "8.8.8.8", False, "", False),
        ("", None, False, "", False),
        ("Bearer secret", "8.8.8.8", True, "secret", True),
        ("Bearer other", "127.0.0.1", False, "secret", False),
        ("", "127.0.0.1", False, "secret", False),
    ],
)
def test_metrics_are_for_our_own_network_or_a_token(
    configured: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    authorization: str,
    peer: str | None,
    forwarded: bool,
    token: str,
    shown: bool,
) -> None:
    monkeypatch.setenv("METRICS_TOKEN", token)
    settings.cache_clear()
    assert may_scrape(authorization, peer, forwarded) is shown


@pytest.mark.faults("chunks")
def test_malformed_chunks_are_the_clients_fault(anybody: Caller) -> None:
    class Malformed:
        def read(self, size: int = -1) -> bytes:
            raise InvalidChunkSize(b"zz")

    answer = anybody.client.post(
        "/v1/accounts",
        environ_overrides={"wsgi.input": Malformed(), "wsgi.input_terminated": True},
        headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
    )
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


@pytest.mark.faults("H3")
def test_one_on_standby_does_not_stop_direct_bookings(
    hall: Sale, alice: Caller, bob: Caller, charlie: Caller, conn: Conn
) -> None:
    """Alice wants four together where only three are; Bob takes one that she cannot use."""
    tosca = hall.add_event(gated=False).open()
    tosca.opera.post(
        f"{tosca.path}/blocks", {"seats": [f"{r}-{n}" for r in (2, 3) for n in range(1, 11)]}
    )
    tosca.book(charlie, conn, seats=["1-4", "1-8"])
    tosca.join(alice, quantity=4)
    tosca.drain(conn)
    key = str(uuid.uuid4())
    answer = bob.post(f"{tosca.path}/bookings", {"quantity": 1}, key=key)
    assert answer.status_code == 201, answer.text
