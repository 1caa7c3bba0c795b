"""Cancelling an event over HTTP."""

from typing import Any

import pytest

from db.connections import Conn
from tests.support.world import Caller, Sale, paid

__all__ = ["paid"]

WHY = {"reason": "the tenor is ill"}


def test_an_event_is_cancelled_once(
    tosca: Sale, alice: Caller, bob: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    answer = tosca.opera.post(f"{tosca.path}/cancel", WHY, key="key")
    assert answer.status_code == 202, answer.text
    assert (answer.json["bookings"], answer.json["cancelled"]) == (1, 0)
    assert (answer.json["with_fees"], answer.json["finished_at"]) == (True, None)
    assert alice.get(tosca.path).json["state"] == "cancelled"
    refused = tosca.join(bob)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "sale_over")
    assert tosca.opera.post(f"{tosca.path}/open").json["conflict_reason"] == "cancelled"
    again = tosca.opera.post(f"{tosca.path}/cancel", WHY, key="key")
    assert again.headers["Idempotent-Replayed"] == "true"
    other = tosca.opera.post(f"{tosca.path}/cancel", WHY, key="other")
    assert (other.status_code, other.json["conflict_reason"]) == (409, "already_cancelled")
    tasks = conn.execute("SELECT key FROM outbox WHERE actor = 'cancel_event'").fetchall()
    assert tasks == [{"key": str(tosca.id)}]
    conn.execute("SELECT cancel_batch(%s, 100, 0)", [tosca.id])
    done = tosca.opera.get(f"{tosca.path}/cancellation").json
    assert (done["cancelled"], done["requested"], done["pending"]) == (1, 1, 1)
    assert (done["amount"], done["owed"]) == (19_000, 0)
    assert done["finished_at"]


def test_a_draft_can_be_cancelled(hall: Sale, conn: Conn) -> None:
    draft = hall.add_event()
    assert hall.opera.post(f"{draft.path}/cancel", WHY, key="key").status_code == 202
    assert conn.execute("SELECT FROM lane_wakes").fetchall() == []


def test_only_its_organiser_may(tosca: Sale, alice: Caller, circus: Caller) -> None:
    assert circus.post(f"{tosca.path}/cancel", WHY, key="key").status_code == 404
    assert alice.post(f"{tosca.path}/cancel", WHY, key="key").status_code == 403
    assert tosca.opera.get(f"{tosca.path}/cancellation").status_code == 404
    tosca.opera.post(f"{tosca.path}/cancel", WHY, key="key")
    assert circus.get(f"{tosca.path}/cancellation").status_code == 404


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "with_fees": 1}])
def test_it_refuses_nonsense(tosca: Sale, body: dict[str, Any]) -> None:
    assert tosca.opera.post(f"{tosca.path}/cancel", body, key="key").status_code == 422
    assert tosca.opera.post(f"{tosca.path}/cancel", WHY).status_code == 400
