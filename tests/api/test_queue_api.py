"""Joining the queue, looking at one's place, leaving."""

import re
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from db.connections import Conn, open_pool, pool
from db.runtime.settings import settings
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale, in_hours


def test_it_gives_numbers_in_the_order_of_joining(tosca: Sale, alice: Caller, bob: Caller) -> None:
    first, second = tosca.join(alice), tosca.join(bob)
    assert first.status_code == 201
    assert (first.json["number"], second.json["number"]) == (1, 2)
    assert first.json["state"] == "waiting"
    assert first.json["links"]["self"] == f"{tosca.path}/queue/{first.json['id']}"
    assert first.json["poll_after_s"] >= 1


def test_the_same_request_again_gets_the_same_entry(tosca: Sale, alice: Caller) -> None:
    first = tosca.join(alice, key="once", quantity=2)
    again = tosca.join(alice, key="once", quantity=2)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_is_not_reused_for_another_wish(tosca: Sale, alice: Caller) -> None:
    tosca.join(alice, key="once", quantity=2)
    other = tosca.join(alice, key="once", quantity=3)
    assert (other.status_code, other.json["conflict_reason"]) == (422, "key_reused")


def test_defaults_spelt_out_are_the_same_wish(tosca: Sale, alice: Caller) -> None:
    tosca.join(alice, key="once", quantity=2)
    assert tosca.join(alice, key="once", quantity=2, together=True).status_code == 200


def test_joining_needs_a_key(tosca: Sale, alice: Caller) -> None:
    answer = alice.post(f"{tosca.path}/queue", {"quantity": 1})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json["detail"]


def test_a_buyer_waits_once_per_event(tosca: Sale, alice: Caller) -> None:
    first = tosca.join(alice)
    second = tosca.join(alice)
    assert (second.status_code, second.json["conflict_reason"]) == (409, "already_waiting")
    assert second.json["entry_id"] == first.json["id"]


def test_a_twin_request_in_flight_is_told_so_at_once(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    key = str(uuid.uuid4())
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, hashint8extended(%s, %s)))"
    with conn.transaction():
        conn.execute(lock, [key, alice.id, tosca.id])
        answer = tosca.join(alice, key=key)
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "in_flight")
    assert tosca.join(alice, key=key).status_code == 201


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"on_sale_at": in_hours(1)}, "sale_not_open"),
        ({"off_sale_at": in_hours(24)}, "sale_over"),
    ],
)
def test_it_refuses_before_and_after_the_sale(
    hall: Sale, alice: Caller, changes: dict[str, Any], reason: str
) -> None:
    event = hall.add_event(**changes).open()
    if reason == "sale_over":
        event.opera.post(f"{event.path}/close")
    answer = event.join(alice)
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, reason)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"quantity": 9}, "over_cap"),
        ({"quantity": 1, "category": 9}, "unknown_category"),
        ({"seats": ["1-1", "9-9"]}, "unknown_seat"),
    ],
)
def test_it_refuses_what_cannot_be(
    tosca: Sale, alice: Caller, wish: dict[str, Any], reason: str
) -> None:
    answer = tosca.join(alice, **wish)
    assert (answer.status_code, answer.json["conflict_reason"]) == (422, reason)
    assert tosca.join(alice, quantity=1).status_code == 201


def test_seats_for_wheelchairs_are_kept(hall: Sale, alice: Caller, conn: Conn) -> None:
    conn.execute("UPDATE plan_seats SET accessible = true WHERE guid = '1-1'")
    event = hall.add_event().open()
    refused = event.join(alice, seats=["1-1"])
    assert (refused.status_code, refused.json["conflict_reason"]) == (422, "kept_seat")
    assert event.join(alice, seats=["1-1"], accessible=1).status_code == 201


def test_terms_must_be_accepted(hall: Sale, alice: Caller) -> None:
    event = hall.add_event(terms="No refunds.").open()
    refused = event.join(alice)
    assert (refused.status_code, refused.json["conflict_reason"]) == (422, "terms_not_accepted")
    assert event.join(alice, accept_terms=True).status_code == 201


def test_an_unknown_event_is_not_found(tosca: Sale, alice: Caller, hall: Sale) -> None:
    draft = hall.add_event()
    assert draft.join(alice).status_code == 404
    draft.path = "/v1/events/999999"
    assert draft.join(alice).status_code == 404


def test_an_entry_is_its_buyers_own(tosca: Sale, alice: Caller, bob: Caller) -> None:
    path = tosca.join(alice).json["links"]["self"]
    assert alice.get(path).status_code == 200
    assert bob.get(path).status_code == 404
    assert bob.delete(path).status_code == 404
    assert alice.get(path).json["state"] == "waiting"


def test_an_entry_tells_what_it_wished_and_got(tosca: Sale, alice: Caller, conn: Conn) -> None:
    path = tosca.join(alice, seats=["2-2", "2-1"]).json["links"]["self"]
    waiting = alice.get(path).json
    assert (waiting["quantity"], set(waiting["seats"])) == (2, {"2-1", "2-2"})
    assert (waiting["booking_id"], waiting["ahead"]) == (None, 0)
    assert waiting["poll_after_s"] >= 1
    tosca.drain(conn)
    booked = alice.get(path).json
    assert booked["state"] == "booked"
    assert booked["poll_after_s"] is None
    booking = alice.get(f"{tosca.path}/bookings/{booked['booking_id']}").json
    assert {item["guid"] for item in booking["items"]} == {"2-1", "2-2"}


def test_whoever_leaves_is_not_served(tosca: Sale, alice: Caller, conn: Conn) -> None:
    path = tosca.join(alice).json["links"]["self"]
    assert alice.delete(path).status_code == 204
    assert alice.delete(path).status_code == 204
    tosca.drain(conn)
    assert alice.get(path).json["state"] == "left"
    assert tosca.join(alice).status_code == 201


def test_a_decided_entry_cannot_be_left(tosca: Sale, alice: Caller, conn: Conn) -> None:
    path = tosca.join(alice).json["links"]["self"]
    tosca.drain(conn)
    answer = alice.delete(path)
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "decided")


@pytest.mark.slow
def test_the_queue_shows_who_waits_and_who_is_served(
    tosca: Sale, alice: Caller, bob: Caller, anybody: Caller, conn: Conn
) -> None:
    tosca.join(alice)
    tosca.join(bob)

    def queue() -> Answer:
        return anybody.get(f"{tosca.path}/queue")

    wait_until(lambda: queue().json["waiting"] == 2)
    assert queue().json["now_serving"] == 0
    assert queue().headers["Cache-Control"] == "public, max-age=2"
    tosca.drain(conn)
    wait_until(lambda: queue().json["now_serving"] == 2)
    document = queue().json
    assert document["waiting"] == 0
    assert document["rate_per_minute"] > 0
    assert document["estimated_wait_s"] == 0


@pytest.mark.slow
def test_leavers_do_not_count_as_waiting(tosca: Sale, alice: Caller, anybody: Caller) -> None:
    alice.delete(tosca.join(alice).json["links"]["self"])
    wait_until(lambda: anybody.get(f"{tosca.path}/queue").json["waiting"] == 0)


def test_a_crowd_costs_one_look_a_second(
    app: Flask, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    """Asked 200 times by 4 threads, the queue is read from the database a few times at most."""
    documents: list[bytes] = []

    def ask() -> None:
        client = app.test_client()
        documents.extend(client.get(f"{tosca.path}/queue").data for _ in range(50))

    crowd = [threading.Thread(target=ask) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(documents) == 200
    assert len(set(documents)) <= 5  # as_of differs whenever it is read


def test_joining_is_one_round_trip(
    tosca: Sale, alice: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq's own trace shows how often the server is waited for."""
    monkeypatch.setenv("POOL_SIZE", "1")
    pool().close()
    for kept in (settings, open_pool):
        kept.cache_clear()
    alice.get("/v1/me")  # which tokens were ended is read every ten seconds
    with (tmp_path / "trace").open("w+") as trace:
        with pool().connection() as pooled:
            pooled.pgconn.trace(trace.fileno())
        assert tosca.join(alice).status_code == 201
        with pool().connection() as pooled:
            pooled.pgconn.untrace()
        trace.seek(0)
        lines = trace.readlines()
    waits = [line for line in lines if "ReadyForQuery" in line]
    looks_at_the_queue = [line for line in lines if "list_leavers(" in line]
    assert len(looks_at_the_queue) == 1  # once a second, whoever joins
    assert len(waits) == 1 + 1


def served(alice: Caller) -> float:
    """Documents that were served without Flask."""
    metric = r"^usher_queue_documents_served_total (\S+)"
    return float(re.findall(metric, alice.get("/metrics").text, re.MULTILINE)[0])


def test_the_document_is_the_same_by_the_short_way(tosca: Sale, alice: Caller) -> None:
    path = f"{tosca.path}/queue"
    before = served(alice)
    first, second = alice.get(path), alice.get(path)
    assert "X-Request-Id" in first.headers and "X-Request-Id" not in second.headers
    assert second.json == first.json
    for name in ("Cache-Control", "ETag", "Content-Type", "Content-Length"):
        assert second.headers[name] == first.headers[name]
    known = alice.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.data) == (304, b"")
    assert known.headers["ETag"] == first.headers["ETag"]
    assert served(alice) == before + 2
