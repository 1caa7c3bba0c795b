"""Changing an event after it was opened: what is safe at once, what buyers must be told of, and
what is refused with its reason."""

from typing import Any
from uuid import UUID

import pytest

from db.catalogue.event_fields import OPENED, Effect
from db.connections import Conn, one
from tests.support.theatre import another, is_waited_for
from tests.support.waiting import in_thread, wait_until
from tests.support.world import Answer, Caller, Sale, backstage, in_hours, pay
from web.api.events import EventChanges

pytestmark = pytest.mark.faults("what is missing")

PRICES = [{"category": 1, "price": 12_000, "fee": 700}, {"category": 2, "price": 6000}]


def changed(sale: Sale, **changes: Any) -> dict[str, Any]:
    answer = sale.opera.patch(sale.path, changes)
    assert answer.status_code == 200, answer.text
    event: dict[str, Any] = answer.json
    return event


def refused(sale: Sale, **changes: Any) -> tuple[int, str, str]:
    before = sale.opera.get(sale.path).json
    answer = sale.opera.patch(sale.path, {"name": "Aida"} | changes)
    assert sale.opera.get(sale.path).json | {"server_time": ""} == before | {"server_time": ""}
    (error,) = answer.json["errors"]
    return answer.status_code, error["path"], answer.json.get("conflict_reason", "")


def audited(conn: Conn, action: str) -> list[dict[str, Any]]:
    query = "select detail from audit_log where action = %s order by id"
    return [row["detail"] for row in conn.execute(query, [action])]


def test_each_field_that_can_be_given_has_its_rule() -> None:
    assert set(OPENED) == set(EventChanges().fields)
    assert all(rule.reason for rule in OPENED.values() if rule.effect is Effect.TOLD)


@pytest.mark.parametrize("state", ["on_sale", "closed"])
@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Tosca, sung in Italian"},
        {"terms": "No photographs.\nNo refunds."},
        {"offline_instructions": "Box office, 10 to 18."},
        {"off_sale_at": in_hours(30)},
        {"seats_per_buyer": 9},
        {"hold_seconds": 900},
        {"booking_fee": 250, "booking_fee_tax_rate": 0.19},
        {"gated": False},
        {"pass_seconds": 300, "claim_seconds": 30, "grace_seconds": 0},
        {"payment_methods": ["card", "ideal"]},
        {"offline_seconds": 3600, "payment_methods": []},
        {"accessible_release_seconds": 3600},
    ],
)
def test_what_is_safe_changes_at_once(
    tosca: Sale, conn: Conn, state: str, changes: dict[str, Any]
) -> None:
    if state == "closed":
        tosca.opera.post(f"{tosca.path}/close")
    event = changed(tosca, **changes)
    times = {name for name in changes if name.endswith("_at")}
    assert {name: event[name] for name in changes.keys() - times} == {
        name: value for name, value in changes.items() if name not in times
    }
    assert set(audited(conn, "event changed")[-1]) == set(changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"starts_at": in_hours(72)}, "buyers_must_be_told"),
        ({"time_zone": "America/New_York"}, "buyers_must_be_told"),
        ({"currency": "CHF"}, "fixed_after_opening"),
        ({"plan_version_id": 999}, "fixed_after_opening"),
        ({"off_sale_at": in_hours(23)}, "only_later"),
        ({"seats_per_buyer": 7}, "only_more"),
        ({"on_sale_at": in_hours(1)}, "sale_has_begun"),
    ],
)
def test_what_is_refused_says_which_field_and_why(
    tosca: Sale, changes: dict[str, Any], reason: str
) -> None:
    assert refused(tosca, **changes) == (409, *changes, reason)
    tosca.opera.post(f"{tosca.path}/close")
    assert refused(tosca, **changes) == (409, *changes, reason)


def test_of_kept_places_that_are_released_the_time_stays(tosca: Sale, conn: Conn) -> None:
    changed(tosca, accessible_release_seconds=49 * 3600)
    conn.execute("select release_kept()")
    given = {"accessible_release_seconds": 60}
    assert refused(tosca, **given) == (409, *given, "already_released")


def test_a_cancelled_and_an_archived_event_stay_as_they_are(
    tosca: Sale, hall: Sale, conn: Conn
) -> None:
    tosca.opera.post(f"{tosca.path}/cancel", {"reason": "ill"}, key="key")
    assert refused(tosca) == (409, "name", "cancelled")
    old = hall.add_event().open()
    old.opera.post(f"{old.path}/close")
    conn.execute("update events set archive_month = '2030-01-01' where id = %s", [old.id])
    assert refused(old, seats_per_buyer=9)[2] == "archived"
    version = {"plan_version_id": old.opera.get(old.path).json["plan_version_id"]}
    moved = old.opera.post(f"{old.path}/plan-version", version)
    assert (moved.status_code, moved.json["conflict_reason"]) == (409, "archived")


def test_what_is_given_as_it_is_is_no_change(tosca: Sale, conn: Conn) -> None:
    event = tosca.opera.get(tosca.path).json
    same = {name: event[name] for name in OPENED if name != "categories"}
    assert changed(tosca, **same) | {"server_time": ""} == event | {"server_time": ""}
    assert audited(conn, "event changed") == [{"state": {"from": "draft", "to": "on_sale"}}]


def test_a_sale_that_has_not_begun_may_begin_at_another_time(hall: Sale) -> None:
    soon = hall.add_event(on_sale_at=in_hours(2)).open()
    for begins in (in_hours(4), in_hours(1)):
        assert changed(soon, on_sale_at=begins)
    assert refused(soon, on_sale_at=in_hours(25))[:2] == (422, "off_sale_at")
    lobby = {"opens_at": in_hours(0.5), "closes_at": in_hours(0.9)}
    assert hall.opera.call("PUT", f"{soon.path}/lobby", lobby).status_code == 200
    answer = refused(soon, on_sale_at=in_hours(0.7))
    assert answer == (422, "on_sale_at", "lobby_after_sale")
    assert changed(soon, on_sale_at=in_hours(3))


def test_a_new_price_is_for_later_holds(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    held = tosca.book(alice, conn, category=1)
    changed(tosca, categories=PRICES, booking_fee=300)
    again = tosca.book(bob, conn, category=1)
    assert (held["total"], again["total"]) == (19_000, 25_700)
    assert alice.get(f"{tosca.path}/bookings/{held['id']}").json["total"] == 19_000
    assert pay(tosca, alice, held).status_code == 202
    query = "select amount, params ->> 'amount' as sent from payments"
    assert one(conn.execute(query)) == {"amount": 19_000, "sent": "19000"}
    assert audited(conn, "prices changed") == [{"categories": [
        {"category": 1, "from": {"price": 9000, "fee": 500, "tax_rate": 0.19},
         "to": {"price": 12_000, "fee": 700, "tax_rate": 0}},
        {"category": 2, "from": {"price": 5000, "fee": 0, "tax_rate": 0},
         "to": {"price": 6000, "fee": 0, "tax_rate": 0}}]}]  # fmt: skip


def test_reminder_and_receipt_have_the_price_of_the_hold(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    held = tosca.book(alice, conn, category=1)
    changed(tosca, categories=PRICES, booking_fee=300)
    backstage(tosca, conn).confirm(UUID(held["id"]))
    backstage(tosca, conn).number_receipts()
    document = one(conn.execute("select breakdown from receipts"))["breakdown"]
    assert document["total"] == 19_000
    booking = alice.get(f"{tosca.path}/bookings/{held['id']}").json
    assert [item["price"] for item in booking["items"]] == [9000, 9000]


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"categories": [{"category": 1, "price": 1}]}, "categories", None),
        ({"categories": [{"category": n, "price": 20} for n in (1, 2)]}, "categories",
         "too_little"),
        ({"payment_methods": ["twint"]}, "payment_methods", "method_not_in_currency"),
        ({"payment_methods": []}, "payment_methods", None),
        ({"payment_methods": ["sepa_debit"]}, "payment_methods", "method_too_slow"),
    ],
)  # fmt: skip
def test_what_could_not_be_opened_cannot_be_made_of_an_open_event(
    tosca: Sale, changes: dict[str, Any], path: str, reason: str | None
) -> None:
    answer = tosca.opera.patch(tosca.path, changes)
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, path)
    assert answer.json.get("conflict_reason") == reason
    event = tosca.opera.get(tosca.path).json
    assert ([p["price"] for p in event["categories"]], event["payment_methods"]) == (
        [9000, 5000], ["card"])  # fmt: skip


def test_an_event_from_before_a_rule_can_be_changed(tosca: Sale, conn: Conn) -> None:
    conn.execute("update events set payment_methods = '{card,us_bank_account}'")
    assert changed(tosca, seats_per_buyer=10)["seats_per_buyer"] == 10


@pytest.mark.parametrize("currency", ["KRW", "KWD", "ISK"])
def test_prices_in_other_currencies(hall: Sale, currency: str) -> None:
    prices = [{"category": n, "price": 50_000} for n in (1, 2)]
    sale = hall.add_event(currency=currency, categories=prices).open()
    changed(sale, categories=[p | {"price": 60_000} for p in prices])
    odd = [p | {"price": 60_001} for p in prices]
    answer = sale.opera.patch(sale.path, {"categories": odd})
    assert answer.status_code == (200 if currency == "KRW" else 422)


def test_a_hold_is_made_with_the_old_prices_or_with_the_new_ones(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    """A drain that has read the old ones goes on; the change waits for it, and never shows a
    booking whose total is not that of its items."""
    tosca.join(alice, category=1)
    with another(conn) as drain:
        drain.execute("select from lane_state for update")
        drain.execute("select drain_lane(%s, 100)", [tosca.id])
        with in_thread(lambda: changed(tosca, categories=PRICES, booking_fee=300)):
            wait_until(lambda: is_waited_for(drain))
            drain.commit()
    query = """select b.total, b.fee, sum(i.price + i.fee) as tickets from bookings b
        join booking_items i on i.booking_id = b.id group by b.event_id, b.id"""
    rows = conn.execute(query).fetchall()
    assert rows == [{"total": 19_000, "fee": 0, "tickets": 19_000}]
    assert tosca.opera.get(tosca.path).json["booking_fee"] == 300


def test_more_seats_for_a_buyer_who_has_some(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn, quantity=8)
    assert tosca.join(alice, quantity=1).json["conflict_reason"] == "over_cap"
    changed(tosca, seats_per_buyer=10)
    tosca.book(alice, conn, quantity=2)
    assert one(conn.execute("select seats, cap from buyer_seats")) == {"seats": 10, "cap": 10}


def test_a_sale_that_was_over_goes_on_when_its_end_is_later(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    conn.execute("update events set off_sale_at = now() - interval '1 min'")
    assert tosca.join(alice).json["conflict_reason"] == "sale_over"
    changed(tosca, off_sale_at=in_hours(5))
    tosca.book(alice, conn)


def test_two_who_change_at_once_both_do(tosca: Sale, conn: Conn) -> None:
    with another(conn) as other:
        other.execute("select from events where id = %s for update", [tosca.id])
        with in_thread(lambda: changed(tosca, name="Aida", seats_per_buyer=9)):
            wait_until(lambda: is_waited_for(other))
            other.execute("update events set terms = 'New.'")
            other.commit()
    event = tosca.opera.get(tosca.path).json
    assert (event["name"], event["terms"], event["seats_per_buyer"]) == ("Aida", "New.", 9)


def test_only_its_organiser_changes_it(tosca: Sale, circus: Caller, alice: Caller) -> None:
    assert circus.patch(tosca.path, {"name": "Ours"}).status_code == 404
    assert alice.patch(tosca.path, {"name": "Mine"}).status_code == 403


def test_its_organiser_lists_events_in_any_state(
    hall: Sale, tosca: Sale, opera: Caller, circus: Caller, operator: Caller, anybody: Caller
) -> None:
    draft, closed, cancelled = hall.add_event(), hall.add_event().open(), hall.add_event().open()
    opera.post(f"{closed.path}/close")
    opera.post(f"{cancelled.path}/cancel", {"reason": "ill"}, key="key")
    path = f"/v1/organisations/{opera.id}/events"
    states = {"draft": draft, "on_sale": tosca, "closed": closed, "cancelled": cancelled}
    for state, sale in states.items():
        for caller in (opera, operator):
            (event,) = caller.get(f"{path}?state={state}").json
            assert (event["id"], event["state"]) == (sale.id, state)
    assert len(opera.get(path).json) == 4
    first = opera.get(f"{path}?limit=3&state=draft")
    assert "Link" not in first.headers
    following = opera.get(f"{path}?limit=3").headers["Link"]
    assert len(opera.get(following.split(">")[0].lstrip("<")).json) == 1
    assert opera.get(f"{path}?state=open").status_code == 422
    assert (circus.get(path).status_code, anybody.get(path).status_code) == (404, 401)
    assert operator.get("/v1/organisations/999/events").status_code == 404


def test_a_draft_is_deleted_and_nothing_else_is(
    hall: Sale, tosca: Sale, opera: Caller, circus: Caller, conn: Conn
) -> None:
    draft = hall.add_event()
    assert circus.delete(draft.path).status_code == 404
    assert opera.delete(draft.path).status_code == 204
    assert (opera.get(draft.path).status_code, opera.delete(draft.path).status_code) == (404, 404)
    assert audited(conn, "draft deleted") == [{"name": "Tosca"}]
    prices = conn.execute("select event_id from event_categories").fetchall()
    assert {row["event_id"] for row in prices} == {tosca.id}
    for end in (None, "close", "cancel"):
        if end:
            opera.post(f"{tosca.path}/{end}", {"reason": "ill"} if end == "cancel" else None,
                       key=end)  # fmt: skip
        refused = opera.delete(tosca.path)
        assert (refused.status_code, refused.json["conflict_reason"]) == (409, "not_a_draft")


def test_a_draft_that_is_opened_meanwhile_is_not_deleted(hall: Sale, conn: Conn) -> None:
    draft = hall.add_event()
    answers: list[Answer] = []
    with another(conn) as other:
        other.execute("select open_event(%s)", [draft.id])
        other.execute("update events set state = 'on_sale'")
        with in_thread(lambda: answers.append(hall.opera.delete(draft.path))):
            wait_until(lambda: is_waited_for(other))
            other.commit()
    assert [answer.status_code for answer in answers] == [409]
