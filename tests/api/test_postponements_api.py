"""Postponing an event over HTTP."""

from typing import Any

import pytest

from db.connections import Conn
from tests.support.world import Caller, Sale, in_hours, paid, path_of

pytestmark = pytest.mark.faults("what is missing")
__all__ = ["paid"]

LATER = {"starts_at": in_hours(24 * 40), "give_back_until": in_hours(24 * 10), "reason": "ill"}


def postpone(sale: Sale, key: str = "key", **changes: Any) -> Any:
    return sale.opera.post(f"{sale.path}/postponements", LATER | changes, key=key)


def test_it_is_one_action(
    tosca: Sale, alice: Caller, bob: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    booking = path_of(tosca, paid)
    assert alice.get(booking).json["give_back_until"] is None
    early = alice.post(f"{booking}/give-back", key="early")
    assert (early.status_code, early.json["conflict_reason"]) == (409, "not_postponed")
    answer = postpone(tosca)
    assert answer.status_code == 202, answer.text
    assert (answer.json["id"], answer.json["told"], answer.json["kept"]) == (1, 0, 1)
    assert postpone(tosca).headers["Idempotent-Replayed"] == "true"
    assert alice.get(tosca.path).json["starts_at"][:16] == LATER["starts_at"][:16]
    assert alice.get("/v1/me/bookings").json[0]["starts_at"][:16] == LATER["starts_at"][:16]
    assert alice.get(booking).json["give_back_until"][:16] == LATER["give_back_until"][:16]
    conn.execute("select tell_of_postponement(%s, 100)", [tosca.id])
    assert bob.post(f"{booking}/give-back", key="bob").status_code == 404
    back = alice.post(f"{booking}/give-back", key="back")
    assert (back.status_code, back.json["state"], back.json["reason"]) == (
        200, "cancelled", "given_back")  # fmt: skip
    assert [refund["amount"] for refund in back.json["refunds"]] == [19_000]
    assert alice.post(f"{booking}/give-back", key="again").status_code == 200
    (listed,) = tosca.opera.get(f"{tosca.path}/postponements").json
    assert (listed["told"], listed["kept"], listed["given_back"]) == (1, 0, 1)
    changes = [row["action"] for row in tosca.opera.get(f"{tosca.path}/changes").json]
    assert changes[:2] == ["event postponed", "event changed"]


def test_too_late_says_until_when_it_was(
    tosca: Sale, alice: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    postpone(tosca)
    conn.execute("update postponements set requested_at = now() - interval '2 h',"
                 " give_back_until = now() - interval '1 h'")  # fmt: skip
    conn.execute("update bookings set created_at = now() - interval '3 h'")
    answer = alice.post(f"{path_of(tosca, paid)}/give-back", key="late")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "too_late")
    assert answer.json["give_back_until"] in answer.json["detail"]


def test_another_place(tosca: Sale, opera: Caller, circus: Caller, alice: Caller) -> None:
    annex = opera.post("/v1/venues", {"name": "Annex", "time_zone": "Europe/Lisbon"}).json
    tent = circus.post("/v1/venues", {"name": "Tent", "time_zone": "Europe/Berlin"}).json
    body = {"starts_at": None, "venue_id": tent["id"], "time_zone": "Europe/Lisbon"}
    del body["starts_at"]
    asked = {name: value for name, value in LATER.items() if name != "starts_at"}
    asked["give_back_until"] = in_hours(24)
    path = f"{tosca.path}/postponements"
    wrong = opera.post(path, asked | body, key="1")
    assert (wrong.status_code, wrong.json["errors"][0]["path"]) == (422, "venue_id")
    moved = opera.post(path, asked | body | {"venue_id": annex["id"]}, key="2")
    assert moved.status_code == 202, moved.text
    assert (moved.json["old_venue_id"], moved.json["new_venue_id"]) == (
        tosca.venue["id"], annex["id"])  # fmt: skip
    event = alice.get(tosca.path).json
    assert (event["venue"]["name"], event["time_zone"]) == ("Annex", "Europe/Lisbon")
    # Its seats are still those of the plan that it has, which may get another version.
    version = {"plan_version_id": tosca.plan["version_id"]}
    assert opera.post(f"{tosca.path}/plan-version", version).status_code == 200


def test_only_its_organiser_may(tosca: Sale, alice: Caller, circus: Caller) -> None:
    path = f"{tosca.path}/postponements"
    assert circus.post(path, LATER, key="key").status_code == 404
    assert circus.get(path).status_code == 404
    assert alice.post(path, LATER, key="key").status_code == 403


def test_a_draft_is_changed_instead(hall: Sale) -> None:
    answer = postpone(hall.add_event())
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "not_opened")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "give_back_until"),
        ({"give_back_until": in_hours(1)}, "starts_at"),
        ({"give_back_until": in_hours(1), "starts_at": None}, "starts_at"),
        ({"give_back_until": in_hours(1), "time_zone": "Mars"}, "time_zone"),
        ({"give_back_until": in_hours(1), "starts_at": in_hours(2), "name": "x"}, "name"),
        (LATER | {"reason": "x" * 501}, "reason"),
    ],
)
def test_it_refuses_nonsense(tosca: Sale, body: dict[str, Any], path: str) -> None:
    answer = tosca.opera.post(f"{tosca.path}/postponements", body, key="key")
    assert answer.status_code == 422
    assert path in [error["path"] for error in answer.json["errors"]]


def test_the_latest_comes_first(tosca: Sale) -> None:
    for number in range(3):
        assert postpone(tosca, key=str(number), starts_at=in_hours(1000 + number)).json
    path = f"{tosca.path}/postponements?limit=2"
    first = tosca.opera.get(path)
    assert [(row["id"], row["replaced"]) for row in first.json] == [(3, False), (2, True)]
    following = tosca.opera.get(first.headers["Link"].split(">")[0].lstrip("<"))
    assert [row["id"] for row in following.json] == [1]
