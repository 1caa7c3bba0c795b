"""Halls, plans, events, prices and what organisers do to a sale."""

from typing import Any

import pytest
from psycopg.errors import ReadOnlySqlTransaction

from db.catalogue.seating import read_plan
from db.connections import Conn, transaction
from db.maintenance.reports import run_report
from tests.support.world import Caller, Sale, event_fields, in_hours, small_hall
from web.api.plans import importing


def seat_numbers(conn: Conn, version_id: int) -> dict[str, int]:
    rows = conn.execute(
        "SELECT guid, seat FROM plan_seats WHERE plan_version_id = %s", [version_id]
    )
    return {row["guid"]: row["seat"] for row in rows}


def test_it_imports_a_plan(hall: Sale, conn: Conn) -> None:
    assert hall.plan["seats"] == 30
    assert hall.plan["version"] == 1
    assert hall.plan["name"] == "Small hall"
    assert hall.plan["categories"] == [
        {"category": 1, "name": "Best", "color": "#f00", "seats": 10},
        {"category": 2, "name": "Rest", "color": "#00f", "seats": 20},
    ]
    assert len(seat_numbers(conn, hall.plan["version_id"])) == 30


def test_a_plan_can_be_given_a_name(hall: Sale) -> None:
    path = f"/v1/venues/{hall.venue['id']}/plans?name=Chamber%20music"
    assert hall.opera.post(path, small_hall()).json["name"] == "Chamber music"


def test_a_new_version_is_numbered_anew(hall: Sale, conn: Conn) -> None:
    changed = small_hall()
    changed["zones"][0]["rows"][1]["seats"].pop(4)
    changed["zones"][0]["rows"][1]["seats"][0]["seat_guid"] = "new"
    answer = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", changed)
    assert answer.status_code == 201
    assert (answer.json["id"], answer.json["version"]) == (hall.plan["id"], 2)
    assert seat_numbers(conn, answer.json["version_id"]) == {
        seat.guid: seat.seat for seat in read_plan(changed).seats
    }


def test_a_bad_plan_is_refused_with_every_reason(hall: Sale, conn: Conn) -> None:
    bad = small_hall()
    bad["zones"][0]["rows"][0]["seats"][3]["category"] = "Bset"
    del bad["zones"][0]["rows"][1]["seats"][0]["seat_guid"]
    answer = hall.opera.post(f"/v1/venues/{hall.venue['id']}/plans", bad)
    assert answer.status_code == 422
    assert {error["path"] for error in answer.json["errors"]} == {
        "zones[0].rows[0].seats[3].category",
        "zones[0].rows[1].seats[0].seat_guid",
    }
    assert len(conn.execute("SELECT FROM plans").fetchall()) == 1


def test_an_event_begins_as_a_draft_that_only_its_organiser_sees(
    hall: Sale, circus: Caller, operator: Caller, anybody: Caller
) -> None:
    draft = hall.add_event()
    assert hall.opera.get(draft.path).json["state"] == "draft"
    assert operator.get(draft.path).status_code == 200
    assert circus.get(draft.path).status_code == 404
    assert anybody.get(draft.path).status_code == 404
    assert anybody.get("/v1/events").json == []


def test_an_open_event_is_public(tosca: Sale, anybody: Caller) -> None:
    event = anybody.get(tosca.path).json
    assert event["state"] == "on_sale"
    assert event["time_zone"] == "Europe/Berlin"
    assert event["venue"]["name"] == "Opera"
    assert (event["seats_per_buyer"], event["hold_seconds"]) == (8, 600)
    assert event["categories"] == [
        {
            **{"category": 1, "name": "Best", "price_type": 1},
            **{"price": 9000, "fee": 500, "tax_rate": 0.19},
        },
        {
            **{"category": 2, "name": "Rest", "price_type": 1},
            **{"price": 5000, "fee": 0, "tax_rate": 0.0},
        },
    ]
    assert "server_time" in event
    assert [listed["id"] for listed in anybody.get("/v1/events").json] == [tosca.id]


def test_events_come_in_pages(hall: Sale, anybody: Caller) -> None:
    ids = [hall.add_event().open().id for _ in range(3)]
    first = anybody.get("/v1/events?limit=2")
    assert [event["id"] for event in first.json] == ids[:2]
    next_path = first.headers["Link"].split(">")[0].lstrip("<")
    second = anybody.get(next_path)
    assert [event["id"] for event in second.json] == ids[2:]
    assert "Link" not in second.headers


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"category": 1, "price": 1}], "Categories of the plan without a price: 2."),
        (
            [{"category": n, "price": 1} for n in (1, 2, 3)],
            "The plan has no seats of these categories: 3.",
        ),
        ([{"category": n, "price": 1} for n in (1, 2, 2)], "A category has two prices."),
    ],
)
def test_every_category_needs_one_price(
    hall: Sale, conn: Conn, categories: list[dict[str, int]], message: str
) -> None:
    fields = event_fields(hall.venue, hall.plan, categories=categories)
    answer = hall.opera.post("/v1/events", fields)
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"location": "json", "path": "categories", "message": message}]
    assert conn.execute("SELECT FROM events").fetchall() == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"venue_id": 999}, "venue_id"),
        ({"plan_version_id": 999}, "plan_version_id"),
        ({"gateway_account_id": 999}, "gateway_account_id"),
        ({"off_sale_at": in_hours(-2)}, "off_sale_at"),
        ({"currency": "eur"}, "currency"),
        ({"starts_at": "2030-01-01T20:00:00"}, "starts_at"),
        ({"seats_per_buyer": 51}, "seats_per_buyer"),
        ({"time_zone": "Europe/Nowhere"}, "time_zone"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"time_zone": "Factory"}, "time_zone"),
        ({"categories": [{"category": 1, "price": -1}]}, "categories[0].price"),
        ({"categories": [{"category": 1, "price": 1, "tax_rate": 1.1}]}, "categories[0].tax_rate"),
        ({"name": "  "}, "name"),
    ],
)
def test_it_says_which_field_of_an_event_is_wrong(
    hall: Sale, changes: dict[str, Any], path: str
) -> None:
    answer = hall.opera.post("/v1/events", event_fields(hall.venue, hall.plan, **changes))
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json["errors"]] == [path]


def test_organisers_cannot_touch_what_is_anothers(tosca: Sale, circus: Caller) -> None:
    others = [
        circus.post(f"/v1/venues/{tosca.venue['id']}/plans", small_hall()),
        circus.post(f"/v1/plans/{tosca.plan['id']}/versions", small_hall()),
        circus.patch(tosca.path, {"name": "Ours"}),
        circus.post(f"{tosca.path}/open"),
        circus.post(f"{tosca.path}/close"),
        circus.post(f"{tosca.path}/pause"),
        circus.post(f"{tosca.path}/resume"),
        circus.patch(f"{tosca.path}/lane", {"weight": 2}),
        circus.post(f"{tosca.path}/blocks", {"seats": ["1-1"]}),
        circus.delete(f"{tosca.path}/blocks", {"seats": ["1-1"]}),
        circus.get(f"{tosca.path}/reports/revenue"),
    ]
    assert [answer.status_code for answer in others] == [404] * len(others)
    made = circus.post("/v1/events", event_fields(tosca.venue, tosca.plan))
    assert (made.status_code, made.json["errors"][0]["path"]) == (422, "venue_id")
    assert circus.get("/v1/venues").json == []


def test_an_event_cannot_use_a_plan_of_another_hall(hall: Sale) -> None:
    other = hall.opera.post("/v1/venues", {"name": "Annex", "time_zone": "Europe/Berlin"}).json
    answer = hall.opera.post("/v1/events", event_fields(other, hall.plan))
    assert answer.json["errors"][0]["path"] == "plan_version_id"


def test_an_operator_says_whose_hall_it_is(operator: Caller, opera: Caller) -> None:
    hall = {"name": "Arena", "time_zone": "Europe/Berlin"}
    assert operator.post("/v1/venues", hall).status_code == 422
    made = operator.post("/v1/venues", hall | {"organisation_id": opera.id})
    assert made.json["organisation_id"] == opera.id
    assert opera.post("/v1/venues", hall | {"organisation_id": opera.id + 1}).status_code == 422


def test_a_draft_can_be_changed(hall: Sale) -> None:
    draft = hall.add_event()
    prices = [{"category": 1, "price": 100}, {"category": 2, "price": 50}]
    changed = hall.opera.patch(draft.path, {"name": "Aida", "categories": prices})
    assert changed.status_code == 200
    assert changed.json["name"] == "Aida"
    assert [price["price"] for price in changed.json["categories"]] == [100, 50]
    assert changed.json["currency"] == "EUR"


def test_a_draft_keeps_its_sale_in_order(hall: Sale) -> None:
    draft = hall.add_event()
    answer = hall.opera.patch(draft.path, {"off_sale_at": in_hours(-2)})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] == "off_sale_at"


def test_opening_makes_the_seats_once(hall: Sale, conn: Conn) -> None:
    event = hall.add_event().open().open()
    assert hall.opera.post(f"{event.path}/close").json["state"] == "closed"
    event.open()
    assert len(conn.execute("SELECT FROM seats").fetchall()) == 30


def test_a_sale_that_is_over_cannot_be_opened(hall: Sale) -> None:
    event = hall.add_event(on_sale_at=in_hours(-3), off_sale_at=in_hours(-2))
    answer = hall.opera.post(f"{event.path}/open")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "sale_over")


def test_the_lane_is_paused_throttled_and_weighed(tosca: Sale) -> None:
    assert tosca.opera.post(f"{tosca.path}/pause").json["paused"] is True
    changed = tosca.opera.patch(f"{tosca.path}/lane", {"weight": 2.5, "in_flight_cap": 10}).json
    assert changed == {
        "id": tosca.id,
        "weight": 2.5,
        "in_flight_cap": 10,
        "paused": True,
        "admission_rate": None,
    }
    assert tosca.opera.post(f"{tosca.path}/resume").json["paused"] is False
    assert tosca.opera.patch(f"{tosca.path}/lane", {"weight": 1}).json["in_flight_cap"] == 10
    uncapped = tosca.opera.patch(f"{tosca.path}/lane", {"in_flight_cap": None}).json
    assert uncapped["in_flight_cap"] is None


def test_a_draft_has_no_lane(hall: Sale) -> None:
    answer = hall.opera.post(f"{hall.add_event().path}/pause")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "not_opened")


def states(conn: Conn, sale: Sale) -> dict[str, str]:
    query = """
        SELECT p.guid, s.state FROM seats s JOIN plan_seats p ON p.seat = s.seat
        WHERE s.event_id = %s AND p.plan_version_id = %s"""
    rows = conn.execute(query, [sale.id, sale.plan["version_id"]])
    return {row["guid"]: row["state"] for row in rows}


def test_blocked_seats_are_not_sold_until_they_are_given_back(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    seats = {"seats": ["1-1", "1-2"]}
    assert tosca.opera.post(f"{tosca.path}/blocks", seats).status_code == 204
    assert tosca.opera.post(f"{tosca.path}/blocks", seats).status_code == 204
    joined = tosca.join(alice, seats=["1-1", "1-2"]).json
    tosca.drain(conn)
    assert alice.get(joined["links"]["self"]).json["state"] == "unavailable"
    assert tosca.opera.delete(f"{tosca.path}/blocks", seats).status_code == 204
    assert set(states(conn, tosca).values()) == {"free"}


def test_blocking_changes_nothing_when_a_seat_is_held(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn, seats=["1-1"])
    answer = tosca.opera.post(f"{tosca.path}/blocks", {"seats": ["2-1", "1-1"]})
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "seats_taken")
    assert answer.json["seats"] == ["1-1"]
    assert states(conn, tosca)["2-1"] == "free"


def test_blocking_unknown_seats_changes_nothing(tosca: Sale, conn: Conn) -> None:
    answer = tosca.opera.post(f"{tosca.path}/blocks", {"seats": ["2-1", "9-9"]})
    assert answer.status_code == 422
    assert "9-9" in answer.json["detail"]
    assert states(conn, tosca)["2-1"] == "free"


def test_a_repeated_post_makes_one_event(hall: Sale, conn: Conn) -> None:
    fields = event_fields(hall.venue, hall.plan)
    first = hall.opera.post("/v1/events", fields, key="tosca")
    again = hall.opera.post("/v1/events", fields, key="tosca")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = hall.opera.post("/v1/events", fields | {"name": "Aida"}, key="tosca")
    assert (other.status_code, other.json["conflict_reason"]) == (422, "key_reused")
    assert len(conn.execute("SELECT FROM events").fetchall()) == 1


def test_a_key_is_the_callers_own(opera: Caller, circus: Caller) -> None:
    hall = {"name": "Hall", "time_zone": "Europe/Berlin"}
    first = opera.post("/v1/venues", hall, key="same")
    second = circus.post("/v1/venues", hall, key="same")
    assert first.json["id"] != second.json["id"]


def test_the_chart_is_cached_by_its_tag(tosca: Sale, anybody: Caller) -> None:
    chart = anybody.get(f"{tosca.path}/seats")
    assert len(chart.json["seats"]) == 30
    assert chart.json["seats"][0].keys() == {
        *("guid", "category", "zone", "row", "number", "x", "y"),
        *("accessible", "companion", "restricted", "row_label"),
    }
    assert "max-age=60" in chart.headers["Cache-Control"]
    assert not chart.headers["ETag"].startswith("W/")
    again = anybody.get(f"{tosca.path}/seats", headers={"If-None-Match": chart.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    weak = anybody.get(
        f"{tosca.path}/seats", headers={"If-None-Match": f"W/{chart.headers['ETag']}"}
    )
    assert (weak.status_code, weak.data) == (304, b"")


@pytest.mark.faults("F10")
def test_availability_counts_and_names_what_is_taken(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn, seats=["1-1", "2-1"])
    tosca.opera.post(f"{tosca.path}/blocks", {"seats": ["3-3"]})
    answer = anybody.get(f"{tosca.path}/availability")
    none = {"sold": 0, "blocked": 0, "kept": 0, "accessible": 0}
    assert answer.json["categories"] == [
        {"category": 1, "free": 9, "held": 1} | none,
        {"category": 2, "free": 18, "held": 1} | none | {"blocked": 1},
    ]
    assert set(answer.json["taken"]) == {"1-1", "2-1", "3-3"}
    assert answer.headers["Cache-Control"] == "public, max-age=10"


@pytest.mark.parametrize("what", ["seats", "availability", "queue"])
def test_a_draft_shows_nothing(hall: Sale, anybody: Caller, what: str) -> None:
    assert anybody.get(f"{hall.add_event().path}/{what}").status_code == 404


def test_a_report_can_only_read(tosca: Sale) -> None:
    with pytest.raises(ReadOnlySqlTransaction), transaction() as conn:
        run_report(conn, "occupancy", tosca.id)
        conn.execute("DELETE FROM seats")


def test_reports_are_rows(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn, quantity=2)
    answer = tosca.opera.get(f"{tosca.path}/reports/occupancy")
    assert answer.status_code == 200
    assert sum(row["held"] for row in answer.json) == 2
    unknown = tosca.opera.get(f"{tosca.path}/reports/secrets")
    assert unknown.status_code == 404
    assert "occupancy" in unknown.json["detail"]


def test_a_plan_is_not_read_for_who_may_not_import_it(hall: Sale, circus: Caller) -> None:
    for path in (f"/v1/venues/{hall.venue['id']}/plans", f"/v1/plans/{hall.plan['id']}/versions"):
        answer = circus.post(path, data=b"{", content_type="application/json")
        assert answer.status_code == 404
        assert hall.opera.post(path, data=b"{", content_type="application/json").status_code == 422


def test_one_plan_is_imported_at_a_time(hall: Sale) -> None:
    path = f"/v1/plans/{hall.plan['id']}/versions"
    with importing():
        answer = hall.opera.post(path, small_hall())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert hall.opera.post(path, small_hall()).status_code == 201


def test_of_a_plan_is_kept_what_was_read(hall: Sale, conn: Conn) -> None:
    plan = small_hall()
    odd = plan | {"note": "\x00"}
    odd["zones"] = [{**plan["zones"][0], "uuid": "x", "areas": [{"shape": "circle"}]}]
    answer = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", odd)
    assert answer.status_code == 201, answer.text
    query = "SELECT source FROM plan_versions ORDER BY version"
    assert [row["source"] for row in conn.execute(query)] == [plan, plan]


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_draft_is_shown_whatever_the_case_of_bearer(hall: Sale, scheme: str) -> None:
    headers = {"Authorization": f"{scheme}{hall.opera.token}"}
    path = hall.add_event().path
    assert Caller(hall.opera.client).get(path, headers=headers).status_code == 200
    assert Caller(hall.opera.client).get("/v1/venues", headers=headers).status_code == 200


@pytest.mark.parametrize("guid", [" 1-1", "1-1\u2009"])
def test_guids_that_no_request_could_name_are_refused(hall: Sale, guid: str) -> None:
    plan = small_hall()
    plan["zones"][0]["rows"][0]["seats"][0]["seat_guid"] = guid
    answer = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", plan)
    assert answer.status_code == 422
    (error,) = answer.json["errors"]
    assert error["path"] == "zones[0].rows[0].seats[0].seat_guid"
