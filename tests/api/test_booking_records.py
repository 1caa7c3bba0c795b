"""Bookings as their organisation reads them and sets them right, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from db.connections import Conn, one
from tests.support.archiving import move_all
from tests.support.world import Caller, Sale, backstage, in_hours, path_of, pay


def test_details_have_all_that_belongs_to_a_booking(
    tosca: Sale, paid: dict[str, Any], opera: Caller, circus: Caller, alice: Caller, conn: Conn
) -> None:
    path = path_of(tosca, paid)
    seen = opera.get(f"{path}/details")
    assert seen.status_code == 200, seen.text
    booking = seen.json
    assert (booking["state"], booking["email"], booking["name"]) == (
        "confirmed", "alice@example.org", "Alice",
    )  # fmt: skip
    assert [item["guid"] for item in booking["items"]] == ["1-1", "1-2"]
    assert [(t["guid"], t["state"], t["price_type"], t["area"]) for t in booking["tickets"]] == [
        ("1-1", "valid", 1, 1),
        ("1-2", "valid", 1, 1),
    ]
    assert "secret" not in seen.text
    [payment] = booking["payments"]
    assert (payment["state"], payment["captured"]) == ("captured", 19_000)
    assert "client_secret" not in payment
    assert circus.get(f"{path}/details").status_code == 404
    assert alice.get(f"{path}/details").status_code == 403
    act = one(conn.execute("select * from audit_log where action = 'booking read'"))
    assert (act["account_id"], act["event_id"]) == (alice.id, tosca.id)


def test_a_booking_in_the_archive_can_be_read(
    tosca: Sale, paid: dict[str, Any], opera: Caller, conn: Conn
) -> None:
    path = path_of(tosca, paid)
    conn.execute(
        """update events set on_sale_at = now() - interval '200 d',
               off_sale_at = now() - interval '100 d', starts_at = now() - interval '99 d'"""
    )
    conn.execute("update emails set state = 'sent', sent_at = now()")
    backstage(tosca, conn).number_receipts()
    conn.execute("delete from outbox")
    before = opera.get(f"{path}/details").json
    move_all(backstage(tosca, conn))
    assert one(conn.execute("select count(*) as n from bookings"))["n"] == 0
    assert opera.get(f"{path}/details").json == before
    assert opera.get(f"{path}/timeline").status_code == 200
    assert one(conn.execute("select count(*) as n from bookings"))["n"] == 0


def test_the_timeline_tells_what_happened_in_order(
    tosca: Sale, paid: dict[str, Any], opera: Caller, conn: Conn
) -> None:
    path = path_of(tosca, paid)
    assert opera.post(f"{path}/notes", {"note": "VIP"}, key="note").status_code == 201
    [first, _] = opera.get(f"{path}/details").json["tickets"]
    asked = {"tickets": [first["id"]], "reason": "ill"}
    assert opera.post(f"{path}/refunds", asked, key="refund").status_code == 201
    timeline = opera.get(f"{path}/timeline").json
    told = [(each["kind"], each["what"]) for each in timeline]
    for earlier, later in (
        (("queue", "joined"), ("booking", "held")),
        (("booking", "held"), ("booking", "confirmed")),
        (("ticket", "issued"), ("act", "booking note written")),
        (("act", "booking note written"), ("refund", "pending")),
    ):
        assert told.index(earlier) < told.index(later), told
    assert ("ticket", "void") in told and ("mail", "written") in told
    assert [each["at"] for each in timeline] == sorted(each["at"] for each in timeline)
    note = next(each for each in timeline if each["what"] == "booking note written")
    assert note["actor"].startswith("organiser:")
    assert ("act", "booking read") not in told, "reading is in the audit log"


def test_notes_are_written_and_read_in_pages(
    tosca: Sale, paid: dict[str, Any], opera: Caller, conn: Conn
) -> None:
    path = f"{path_of(tosca, paid)}/notes"
    for n in range(3):
        answer = opera.post(path, {"note": f"note {n}"}, key=f"note {n}")
        assert (answer.status_code, answer.json["note"]) == (201, f"note {n}")
        assert opera.post(path, {"note": f"note {n}"}, key=f"note {n}").json == answer.json
    first = opera.get(f"{path}?limit=2")
    assert [note["note"] for note in first.json] == ["note 2", "note 1"]
    rest = opera.get(first.headers["Link"][1:].partition(">")[0])
    assert [note["note"] for note in rest.json] == ["note 0"]


def test_a_deadline_is_extended_until_the_event_begins(
    tosca: Sale, alice: Caller, opera: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn)
    path = f"{path_of(tosca, booking)}/deadline"
    later = datetime.now(UTC) + timedelta(hours=3)
    answer = opera.call("PUT", path, {"deadline": later.isoformat()})
    assert answer.status_code == 200, answer.text
    assert datetime.fromisoformat(answer.json["deadline"]) == later
    assert alice.get(path_of(tosca, booking)).json["seconds_left"] > 10_000
    for hours, reason in ((2, "not_later"), (-1, "not_later"), (49, "after_start")):
        refused = opera.call("PUT", path, {"deadline": in_hours(hours)})
        assert (refused.status_code, refused.json["conflict_reason"]) == (409, reason)
    assert pay(tosca, alice, booking).status_code == 202
    backstage(tosca, conn).carry_on(UUID(booking["id"]))
    refused = opera.call("PUT", path, {"deadline": in_hours(5)})
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "not_open")
    act = one(conn.execute("select * from audit_log where action = 'deadline extended'"))
    assert set(act["detail"]["deadline"]) == {"from", "to"}


def test_who_pays_offline_sees_the_new_date(
    hall: Sale, alice: Caller, opera: Caller, conn: Conn
) -> None:
    conn.execute("update accounts set verified_at = now() where id = %s", [alice.id])
    fair = hall.add_event(offline_seconds=3600, offline_instructions="At the till").open()
    booking = fair.book(alice, conn)
    paying = alice.post(f"{path_of(fair, booking)}/payment", {"method": "offline"}, key="pay")
    assert paying.status_code == 202, paying.text
    later = in_hours(5)
    answer = opera.call("PUT", f"{path_of(fair, booking)}/deadline", {"deadline": later})
    assert answer.status_code == 200, answer.text
    due = alice.get(path_of(fair, booking)).json["payment"]["next_action"]["pay_offline"]["due_at"]
    assert datetime.fromisoformat(due) == datetime.fromisoformat(later)


def test_a_corrected_name_is_of_one_booking(
    tosca: Sale, paid: dict[str, Any], opera: Caller, alice: Caller, conn: Conn
) -> None:
    path = path_of(tosca, paid)
    assert opera.call("PUT", f"{path}/name", {"name": "Alice Liddell"}).json["name"] == (
        "Alice Liddell"
    )
    assert alice.get("/v1/me").json["name"] == "Alice"
    act = one(
        conn.execute(
            """select p.personal from audit_log l join audit_personal p on p.act_id = l.id
               where l.action = 'booking name corrected'"""
        )
    )
    assert act["personal"] == {"name": {"from": "Alice", "to": "Alice Liddell"}}
    assert opera.call("PUT", f"{path}/name", {"name": "Alice"}).json["name"] == "Alice"
    assert one(conn.execute("select count(*) as n from booking_names"))["n"] == 0


def test_tags_are_replaced(tosca: Sale, paid: dict[str, Any], opera: Caller) -> None:
    path = f"{path_of(tosca, paid)}/tags"
    assert opera.call("PUT", path, {"tags": ["a", "b", "a"]}).json["tags"] == ["a", "b"]
    assert opera.call("PUT", path, {"tags": []}).json["tags"] == []
    for tags in (["x" * 41], [""], [str(n) for n in range(21)]):
        assert opera.call("PUT", path, {"tags": tags}).status_code == 422


def test_transfers_over_http(hall: Sale, alice: Caller, opera: Caller, conn: Conn) -> None:
    conn.execute("update accounts set verified_at = now() where id = %s", [alice.id])
    fair = hall.add_event(offline_seconds=3600).open()
    booking = fair.book(alice, conn, seats=["1-1", "1-2"])
    alice.post(f"{path_of(fair, booking)}/payment", {"method": "offline"}, key="pay")
    path = f"{path_of(fair, booking)}/transfers"
    sent = {"reference": "SEPA 1", "amount": 9000, "currency": "EUR"}
    first = opera.post(path, sent, key="1")
    assert (first.status_code, first.json["missing"]) == (201, 10_000), first.text
    asked = alice.get(path_of(fair, booking)).json["payment"]["next_action"]["pay_offline"]
    assert (asked["amount"], asked["received"]) == (10_000, 9000)
    last = opera.post(path, sent | {"reference": "SEPA 2", "amount": 10_001}, key="2").json
    assert (last["missing"], last["surplus"], last["decision"]) == (0, 1, None)
    [undecided] = opera.get(f"{fair.path}/transfers?undecided=true").json
    assert undecided == last
    decided = opera.call(
        "PUT", f"{fair.path}/transfers/{last['id']}/surplus", {"decision": "kept", "how": "a gift"}
    )
    assert (decided.status_code, decided.json["decision"]) == (200, "kept")
    assert opera.get(f"{fair.path}/transfers?undecided=true").json == []
    listed = opera.get(f"{path_of(fair, booking)}/details").json["transfers"]
    assert [(each["amount"], each["surplus"]) for each in listed] == [(9000, 0), (10_001, 1)]


def test_an_event_is_copied(tosca: Sale, opera: Caller, circus: Caller, conn: Conn) -> None:
    original = opera.get(tosca.path).json
    starts = datetime.fromisoformat(original["starts_at"]) + timedelta(days=7)
    path = f"{tosca.path}/copies"
    assert circus.post(path, {"starts_at": starts.isoformat()}).status_code == 404
    copied = opera.post(path, {"starts_at": starts.isoformat(), "name": "Tosca II"})
    assert copied.status_code == 201, copied.text
    copy = copied.json
    assert (copy["state"], copy["name"]) == ("draft", "Tosca II")
    moved = datetime.fromisoformat(copy["on_sale_at"])
    assert moved - datetime.fromisoformat(original["on_sale_at"]) == timedelta(days=7)
    differ = {key for key in original if original[key] != copy[key]}
    assert differ == {
        *("id", "name", "state", "starts_at", "on_sale_at", "off_sale_at", "server_time"),
    }
    past = opera.post(path, {"starts_at": in_hours(-1)})
    assert (past.status_code, past.json["errors"][0]["path"]) == (422, "starts_at")


def test_events_are_searched(tosca: Sale, opera: Caller) -> None:
    draft = tosca.add_event(name="Die Zauberflöte", starts_at=in_hours(480))
    path = f"/v1/organisations/{opera.id}/events"

    def found(query: str) -> list[int]:
        answer = opera.get(f"{path}?{query}")
        assert answer.status_code == 200, answer.text
        return [event["id"] for event in answer.json]

    assert found("") == [tosca.id, draft.id]
    assert found("name=zauberFLÖTE") == found("state=draft") == [draft.id]
    day = in_hours(240).replace("+", "%2B")
    assert found(f"starts_from={day}") == [draft.id]
    assert found(f"starts_before={day}") == [tosca.id]
    assert found(f"venue_id={tosca.venue['id']}&name=tosca") == [tosca.id]
    assert found("venue_id=999") == []
