"""An import says what it understood, and what may not be meant so; versions say what changed."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from db.catalogue.plan_reports import find_warnings, report_plan
from db.catalogue.seating import read_plan
from db.connections import Conn
from ops.plans import preview
from tasks.mail.rendering import seat
from tests.support.drawings import Json, by_guid, line, plan_of, runs, seat_at
from tests.support.world import Caller, Sale, backstage, event_fields, small_hall


def kinds_of(source: Json, **options: Any) -> list[str]:
    return [warning["kind"] for warning in find_warnings(read_plan(source, **options))]


FOCUS = {"focal_point": {"x": 0, "y": -50}}

# Flags: the seat's own, the category's, the name's


@pytest.mark.faults("F6")
@pytest.mark.parametrize(
    "name",
    [
        "Parkett (nicht rollstuhlgeeignet)",
        "Not wheelchair accessible",
        "Stalls - no wheelchairs",
        "Non-wheelchair",
        "Wheelchair-inaccessible",
        "Balcon, non accessible PMR",
        "Sans accès fauteuil roulant",
        "No apta para silla de ruedas",
        "Non accessibile in sedia a rotelle, disabili esclusi",
        "Ohne Rollstuhlplatz",
        "Kein Begleitplatz",
        "Niet geschikt voor rolstoel",
        "Мест для инвалидов нет",
        "Neben Rollstuhlplatz",
        "Keine Sichtbehinderung",
        "Rollstuhl + Begleitperson",
    ],
)
def test_a_name_that_may_say_the_contrary_keeps_no_seat_back(name: str) -> None:
    plan = read_plan(plan_of(line([0, 20], category=name)))
    seat = plan.seats[0]
    assert (seat.accessible, seat.companion, seat.restricted) == (False,) * 3
    assert "guessed_flags" in kinds_of(plan_of(line([0, 20], category=name)))
    assert report_plan(plan)["guesses"][0]["doubt"]


@pytest.mark.parametrize(
    "name",
    [
        *("Vue réduite", "Vue re\u0301duite", "VUE REDUITE", "Visibilité réduite", "vue partielle"),
        *("Restricted view", "Restricted viewing", "Obstructed View", "View restricted"),
        *("Eingeschränkte Sicht", "Sicht eingeschränkt", "Sichteinschränkung", "Hörplatz"),
        *("Visibilidad reducida", "Vista limitata", "Visibilità ridotta", "Visão reduzida"),
        *("Beperkt zicht", "Begränsad sikt", "Begrænset udsyn", "Begrenset sikt"),
        *(
            "Ograniczona widoczność",
            "Omezený výhled",
            "Ограниченный обзор",
            "見切れ席",
            "Ohne Sicht",
        ),
    ],
)
def test_a_restricted_view_is_known_in_many_languages(name: str) -> None:
    assert by_guid(read_plan(plan_of(line([0], category=name))))["a0"].restricted


@pytest.mark.parametrize(
    "name",
    [
        *("Fauteuil roulant", "PMR", "Silla de ruedas", "Sedia a rotelle", "Cadeira de rodas"),
        *("Rolstoel", "Rullstol", "Kørestol", "Места для инвалидов", "車いす席", "♿"),
    ],
)
def test_wheelchair_places_are_known_in_many_languages(name: str) -> None:
    seat = read_plan(plan_of(line([0], category=name))).seats[0]
    assert (seat.accessible, seat.companion, seat.restricted) == (True, False, False)


def test_sight_that_is_impaired_is_no_wheelchair_place() -> None:
    seat = read_plan(plan_of(line([0], category="Sichtbehinderte Plätze"))).seats[0]
    assert (seat.accessible, seat.restricted) == (False, True)


@pytest.mark.faults("F6")
def test_what_a_category_says_overrules_its_name() -> None:
    source = plan_of(line([0, 20], category="Rollstuhl"))
    source["categories"][0]["accessible"] = False
    plan = read_plan(source)
    assert not any(seat.accessible for seat in plan.seats)
    assert report_plan(plan)["guesses"] == []


@pytest.mark.faults("F6")
def test_an_import_can_be_told_to_guess_nothing() -> None:
    source = plan_of(line([0, 20], category="Rollstuhl"))
    assert read_plan(source).seats[0].accessible
    assert not read_plan(source, guess=False).seats[0].accessible
    assert "guessed_flags" not in kinds_of(source, guess=False)


# Warnings


@pytest.mark.faults("F13")
def test_two_seats_with_one_printed_place_are_told() -> None:
    row = [seat_at("a", 0), seat_at("b", 20) | {"seat_number": "a"}, seat_at("c", 40)]
    (warning,) = find_warnings(read_plan(plan_of(row, **FOCUS)))
    assert (warning["kind"], warning["seats"]) == ("doubled_label", ["a", "b"])
    other = plan_of(line([0]), **FOCUS)
    other["zones"] += [{"name": "Stalls", "rows": [{"row_number": "1", "seats": []}]}]
    other["zones"][1]["rows"][0]["seats"] = [seat_at("b", 90) | {"seat_number": "a0"}]
    assert kinds_of(other) == ["doubled_label"]


@pytest.mark.faults("F13")
@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("accesible", True, "accessible"),
        ("wheelchair", True, "accessible"),
        ("Accessible", True, "accessible"),
        ("restricted", True, "restricted_view"),
        ("seatNumber", "1", "seat_number"),
        ("x-note", "?", ""),
    ],
)
def test_a_key_that_is_not_read_is_told(key: str, value: Any, meant: str) -> None:
    source = plan_of(line([0, 20], **{key: value}), **FOCUS)
    (warning,) = find_warnings(read_plan(source))
    assert warning["kind"] == "unknown_key"
    assert warning["path"] == f"zones[0].rows[0].seats[0].{key}"
    assert "2 times" in warning["message"]
    assert (f"{meant!r}" in warning["message"]) == bool(meant)


def test_what_the_editor_writes_for_itself_is_no_unknown_key() -> None:
    source = plan_of(line([0, 20], uuid="u", radius=8), **FOCUS)
    source["zones"][0] |= {"uuid": "z", "zone_id": "s", "areas": []}
    source["zones"][0]["rows"][0] |= {"uuid": "r", "row_number_position": "both"}
    assert kinds_of(source) == []


@pytest.mark.faults("F13")
def test_other_things_that_may_not_be_meant_are_told() -> None:
    source = plan_of(line([0, 20]), [seat_at("x", 500, 30), seat_at("y", 500, 30)])
    source["size"] = {"width": 100, "height": 100}
    source["categories"] += [{"name": "Nobody"}]
    source["zones"][0]["rows"][0]["seats"][0]["companion"] = True
    assert set(kinds_of(source)) == {
        *("no_focal_point", "empty_category", "outside_drawing", "same_point", "lonely_companion")
    }


@pytest.mark.parametrize(
    ("row", "lonely"),
    [
        ("wc.c", 1), ("cw", 0), ("ccwcc", 0), ("c.w", 1), ("ccc", 3), ("c.cwc.c", 2), ("wcccw", 0),
    ],
)  # fmt: skip
def test_companions_are_beside_a_wheelchair_place(row: str, lonely: int) -> None:
    found = [w["message"] for w in warnings_of(row) if w["kind"] == "lonely_companion"]
    expected = f"hold {lonely} companions' places without a wheelchair place beside them"
    assert found == ([expected] if lonely else [])


def test_a_hall_of_companions_is_looked_at_once(hall: Sale) -> None:
    """Not once for each pair of them: these would be 40,000 times 40,000."""
    (found,) = (w for w in warnings_of("c" * 40_000) if w["kind"] == "lonely_companion")
    assert "40,000" in found["message"]


def warnings_of(row: str) -> list[dict[str, Any]]:
    """Of a plan with one row: w, c and . are places for wheelchairs, companions and others."""
    seats = [
        {"seat_guid": str(n), "seat_number": str(n), "category": "Rest",
         "accessible": kind == "w", "companion": kind == "c"}
        for n, kind in enumerate(row, 1)
    ]  # fmt: skip
    source = small_hall()
    source["zones"][0]["rows"] = [{"row_number": "1", "seats": seats}]
    return list(find_warnings(read_plan(source)))


@pytest.mark.faults("F13")
def test_a_strict_import_refuses_what_a_plain_one_warns_of(hall: Sale, conn: Conn) -> None:
    path = f"/v1/venues/{hall.venue['id']}/plans"
    plan = small_hall()
    plan["zones"][0]["rows"][0]["seats"][0]["accesible"] = True
    answer = hall.opera.post(path, plan)
    assert answer.status_code == 201
    told = {warning["path"] for warning in answer.json["warnings"]}
    refused = hall.opera.post(f"{path}?strict=true", plan)
    assert refused.status_code == 422
    assert {error["path"] for error in refused.json["errors"]} == told
    assert len(conn.execute("SELECT FROM plans").fetchall()) == 2


def test_an_import_answers_with_what_it_understood(hall: Sale) -> None:
    plan = small_hall() | FOCUS
    first, second = plan["zones"][0]["rows"][0]["seats"][:2]
    first["accessible"], second["companion"] = True, True
    answer = hall.opera.post(f"/v1/venues/{hall.venue['id']}/plans", plan)
    assert answer.json["counts"] == {
        **{"seats": 30, "accessible": 1, "companion": 1, "restricted_view": 0, "standing": 0}
    }
    assert answer.json["focal_point"] == {"x": 0, "y": -50, "source": "plan"}
    assert answer.json["zones"] == [{"name": "Floor", "seats": 30, "rows": 3, "best_row": "1"}]
    assert (answer.json["guesses"], answer.json["changes"]) == ([], None)


# Rows by a pattern


@pytest.mark.faults("F22")
def test_a_row_is_printed_as_its_pattern_says() -> None:
    source = plan_of(line([0, 20]))
    source["zones"][0]["rows"][0] |= {"row_number": "7", "row_label": "Table %s"}
    seat = read_plan(source).seats[0]
    assert (seat.row, seat.row_label) == ("7", "Table 7")


@pytest.mark.faults("F22")
def test_a_ticket_says_table_and_not_row(hall: Sale, alice: Caller, conn: Conn) -> None:
    plan = small_hall() | FOCUS
    plan["zones"][0]["rows"][0]["row_label"] = "Table %s"
    plan = hall.opera.post(f"/v1/venues/{hall.venue['id']}/plans", plan).json
    sale = Sale(hall.opera, hall.venue, plan).add_event().open()
    (item,) = sale.book(alice, conn, seats=["1-2"])["items"]
    assert (item["row"], item["row_label"]) == ("1", "Table 1")
    assert seat(item) == "Floor, Table 1, seat 2"
    assert seat(item | {"row_label": ""}) == "Floor, row 1, seat 2"


# The focal point


def rows_of(ys: dict[str, float], bend: float = 0.0, turned: bool = False) -> Json:
    """Rows of nine seats by name; bend > 0: their ends are higher than their middle."""
    source = plan_of()
    source["categories"] = [{"name": "Any"}]
    for name, y in ys.items():
        at = [(20.0 * x, y - bend * (x - 4) ** 2) for x in range(9)]
        seats = [seat_at(f"{name}{x}", *(reversed(p) if turned else p)) for x, p in enumerate(at)]
        source["zones"][0]["rows"].append({"row_number": name, "seats": seats})
    return source


def first_rows(source: Json) -> list[str]:
    return list(dict.fromkeys(seat.row for seat in read_plan(source).seats))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("names", [["1", "2", "3"], ["A", "B", "C"], ["Row 8", "Row 9", "Row 10"]])
def test_without_a_focal_point_the_lowest_rows_are_best(names: list[str], turned: bool) -> None:
    source = rows_of(dict(zip(reversed(names), (0, 30, 60), strict=True)), turned=turned)
    assert first_rows(source) == names
    focus = read_plan(source).focus
    assert focus is not None
    assert focus.source == "rows"
    assert (focus.x if turned else focus.y) > 60


def test_rows_that_bend_tell_where_the_stage_is_whatever_they_are_called() -> None:
    source = rows_of({"3": 0, "2": 30, "1": 60}, bend=1.5)
    assert first_rows(source) == ["3", "2", "1"]
    assert report_plan(read_plan(source))["focal_point"]["source"] == "bends"


@pytest.mark.parametrize("word", ["STAGE", "Bühne", "Scène", "Escenario", "Leinwand", "сцена"])
def test_an_area_that_is_called_stage_is_the_focal_point(word: str) -> None:
    source = rows_of({"1": 0, "2": 30, "3": 60})
    area = {"shape": "rectangle", "position": {"x": 30, "y": 90}, "text": {"text": word}}
    source["zones"][0]["areas"] = [area | {"rectangle": {"width": 100, "height": 20}}]
    focus = read_plan(source).focus
    assert focus is not None
    assert tuple(focus) == (80, 100, "stage")
    assert first_rows(source) == ["3", "2", "1"]


def test_around_a_field_the_focal_point_is_the_middle() -> None:
    source = rows_of({"2": 0, "1": 30})
    south = rows_of({"11": 400, "12": 430})["zones"]
    source["zones"] += south
    focus = read_plan(source).focus
    assert focus is not None
    assert tuple(focus) == (80, 215, "middle")


def test_a_second_gallery_before_the_stalls_in_the_file_is_not_sold_first() -> None:
    source = rows_of({"1": 300, "2": 330})
    stalls = rows_of({"5": 0, "6": 30})["zones"][0] | {"name": "Real stalls"}
    source["zones"] = [source["zones"][0] | {"name": "Gallery"}, stalls]
    assert read_plan(source).seats[0].zone == "Real stalls"


def test_rows_of_a_plan_that_is_not_drawn_are_sold_by_their_numbers() -> None:
    source = plan_of()
    source["categories"] = [{"name": "Any"}]
    for name in ("14", "6", "7"):
        seats = [{"seat_guid": f"{name}-{n}", "category": "Any"} for n in (1, 2)]
        source["zones"][0]["rows"].append({"row_number": name, "seats": seats})
    assert runs(read_plan(source)) == [["6-1", "6-2"], ["7-1", "7-2"], ["14-1", "14-2"]]


# Versions


def test_a_version_says_what_stayed_came_went_and_moved(hall: Sale) -> None:
    path = f"/v1/plans/{hall.plan['id']}/versions"
    plan = small_hall()
    seats = plan["zones"][0]["rows"][2]["seats"]
    seats[0]["seat_guid"] = "new"
    seats[1]["position"]["x"] = 99
    seats[2]["seat_number"] = "3bis"
    seats[3]["accessible"] = True
    changes = hall.opera.post(path, plan).json["changes"]
    assert {kind: changes[kind]["seats"] for kind in ("came", "went", "moved", "renamed")} == {
        **{"came": ["new"], "went": ["3-1"], "moved": ["3-2"], "renamed": ["3-3"]}
    }
    assert changes["changed"] == {"count": 1, "seats": ["3-4"]}
    assert (changes["stayed"]["count"], changes["since_version"]) == (26, 1)


def test_a_drawing_that_was_moved_as_a_whole_moved_no_seat(hall: Sale) -> None:
    plan = small_hall()
    plan["zones"][0]["position"] = {"x": 300, "y": 70}
    changes = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", plan).json["changes"]
    assert changes["stayed"]["count"] == 30


def test_the_plan_of_another_venue_is_no_next_version_by_mistake(hall: Sale) -> None:
    path = f"/v1/plans/{hall.plan['id']}/versions"
    other = json.loads(json.dumps(small_hall()).replace('"seat_guid": "', '"seat_guid": "b'))
    refused = hall.opera.post(path, other)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "unrelated_plan")
    assert hall.opera.post(f"{path}?unrelated=true", other).status_code == 201


def test_a_version_says_which_sold_seats_it_has_not(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn, seats=["3-1", "3-2"])
    plan = small_hall()
    del plan["zones"][0]["rows"][2]["seats"][1:4]
    answer = tosca.opera.post(f"/v1/plans/{tosca.plan['id']}/versions", plan)
    gone = {"event_id": tosca.id, "name": "Tosca", "version": 1, "seats": ["3-2"]}
    assert answer.json["sold_seats_gone"] == [gone]
    refused = move(tosca, answer.json)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "seats_gone")
    assert refused.json["seats"] == ["3-2"]


def test_plans_and_their_versions_can_be_read(hall: Sale, circus: Caller) -> None:
    plan = hall.plan
    hall.opera.post(f"/v1/plans/{plan['id']}/versions", small_hall())
    hall.add_event()
    (listed,) = hall.opera.get(f"/v1/venues/{hall.venue['id']}/plans").json
    assert (listed["id"], listed["version"], listed["seats"]) == (plan["id"], 2, 30)
    assert hall.opera.get(f"/v1/plans/{plan['id']}").json == listed
    versions = hall.opera.get(f"/v1/plans/{plan['id']}/versions").json
    assert [(one["version"], one["events"]) for one in versions] == [(1, 1), (2, 0)]
    assert hall.opera.get(f"/v1/plans/{plan['id']}/versions/{plan['version_id']}").json == plan
    assert hall.opera.get(f"/v1/plans/{plan['id']}/versions/999").status_code == 404
    for path in (
        f"/v1/venues/{hall.venue['id']}/plans",
        f"/v1/plans/{plan['id']}",
        f"/v1/plans/{plan['id']}/versions",
        f"/v1/plans/{plan['id']}/versions/{plan['version_id']}",
        f"/v1/plans/{plan['id']}/versions/{plan['version_id']}/picture",
    ):
        assert circus.get(path).status_code == 404, path


# Events move to another version


def move(sale: Sale, version: dict[str, Any]) -> Any:
    body = {"plan_version_id": version["version_id"]}
    return sale.opera.post(f"{sale.path}/plan-version", body)


def seats_put_between() -> Json:
    """The small hall with a seat between 2 and 3 of row 1."""
    plan = small_hall()
    row = plan["zones"][0]["rows"][0]["seats"]
    row.insert(2, row[1] | {"seat_guid": "1-2bis", "seat_number": "2bis"})
    row[2] = row[2] | {"position": {"x": 12.5, "y": 0}}
    return plan


@pytest.mark.faults("F4")
def test_together_means_side_by_side_in_every_version(
    hall: Sale, alice: Caller, conn: Conn
) -> None:
    plan = seats_put_between()
    for row in plan["zones"][0]["rows"]:
        for n, place in enumerate(row["seats"]):
            place["position"] = {"x": 20 * n, "y": 0}
    version = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", plan).json
    sale = Sale(hall.opera, hall.venue, version).add_event().open()
    places = [place["seat_guid"] for place in plan["zones"][0]["rows"][0]["seats"]]
    items = sale.book(alice, conn, quantity=4, category=1)["items"]
    at = sorted(places.index(item["guid"]) for item in items)
    assert at == list(range(at[0], at[0] + 4))


@pytest.mark.faults("F4")
def test_a_seat_that_went_to_the_gallery_is_no_neighbour_any_more() -> None:
    source = plan_of([seat_at(f"A{n}", 20 * n) for n in range(1, 9)])
    third = source["zones"][0]["rows"][0]["seats"].pop(2)
    source["zones"] += [{"name": "Gallery", "rows": [{"seats": [third]}]}]
    assert ["A1", "A2"] in runs(read_plan(source))


def test_an_event_with_bookings_moves_and_they_keep_their_seats(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn, seats=["1-3", "1-4"])
    backstage(tosca, conn).confirm(UUID(booking["id"]))
    waiting = tosca.join(bob, seats=["1-6", "1-5"])
    version = tosca.opera.post(f"/v1/plans/{tosca.plan['id']}/versions", seats_put_between()).json
    answer = move(tosca, version)
    assert answer.status_code == 200, answer.text
    assert answer.json["plan_version_id"] == version["version_id"]
    again = alice.get(f"{tosca.path}/bookings/{booking['id']}").json
    assert sorted(item["guid"] for item in again["items"]) == ["1-3", "1-4"]
    tickets = alice.get(f"{tosca.path}/bookings/{booking['id']}/tickets").json
    assert sorted(ticket["guid"] for ticket in tickets) == ["1-3", "1-4"]
    tosca.drain(conn)
    entry = bob.get(f"{tosca.path}/queue/{waiting.json['id']}").json
    assert (entry["state"], sorted(entry["seats"])) == ("booked", ["1-5", "1-6"])
    free = tosca.opera.get(f"{tosca.path}/availability").json
    assert sorted(free["taken"]) == ["1-3", "1-4", "1-5", "1-6"]
    assert free["plan_version_id"] == version["version_id"]
    assert tosca.book(alice, conn, seats=["1-2bis"])["state"] == "held"


def test_a_draft_gets_another_version_and_keeps_the_prices_of_names(hall: Sale) -> None:
    draft = hall.add_event()
    plan = small_hall()
    plan["categories"].reverse()
    version = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", plan).json
    answer = hall.opera.patch(draft.path, {"plan_version_id": version["version_id"]})
    assert answer.status_code == 200, answer.text
    found = answer.json["categories"]
    prices = [(price["category"], price["name"], price["price"]) for price in found]
    assert prices == [(1, "Rest", 5000), (2, "Best", 9000)]
    assert draft.open().id == draft.id


def test_a_draft_needs_prices_for_categories_that_came(hall: Sale) -> None:
    draft = hall.add_event()
    plan = json.loads(json.dumps(small_hall()).replace('"Best"', '"Gold"'))
    version = hall.opera.post(f"/v1/plans/{hall.plan['id']}/versions", plan).json
    change = {"plan_version_id": version["version_id"]}
    refused = hall.opera.patch(draft.path, change)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "categories_differ")
    prices = event_fields(hall.venue, hall.plan)["categories"]
    assert hall.opera.patch(draft.path, change | {"categories": prices}).status_code == 200
    assert move(draft, hall.plan).json["conflict_reason"] == "categories_differ"


def test_an_event_moves_to_versions_of_its_own_venue_alone(
    tosca: Sale, circus: Caller, hall: Sale
) -> None:
    assert move(tosca, {"version_id": 999}).status_code == 422
    body = {"plan_version_id": tosca.plan["version_id"]}
    assert circus.post(f"{tosca.path}/plan-version", body).status_code == 404
    assert move(tosca, tosca.plan).status_code == 200  # nothing to do


# Pictures


def test_a_preview_is_drawn_and_nothing_is_stored(hall: Sale, conn: Conn) -> None:
    plan = small_hall()
    plan["categories"][0]["color"] = '"/><script>alert(1)</script>'
    plan["name"] = "<b>"
    answer = hall.opera.post("/v1/plan-preview", plan)
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    assert answer.text.count("<circle cx") == 60
    assert "<script" not in answer.text
    assert "&lt;b&gt;" in answer.text
    rank = hall.opera.post("/v1/plan-preview?color=rank", plan).text
    assert rank.count("<circle cx") == 30
    assert len(conn.execute("SELECT FROM plan_versions").fetchall()) == 1


def test_a_version_has_a_picture(hall: Sale) -> None:
    answer = hall.opera.get(
        f"/v1/plans/{hall.plan['id']}/versions/{hall.plan['version_id']}/picture?color=category"
    )
    assert (answer.status_code, answer.text.count("<circle cx")) == (200, 30)
    assert "#f00" in answer.text


def test_make_preview_draws_a_file_and_prints_what_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(small_hall()))
    assert preview.main([str(path), "--out", str(tmp_path / "plan.svg")]) == 0
    assert "30 seats" in capsys.readouterr().out
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")
    path.write_text("{}")
    assert preview.main([str(path)]) == 1
    assert "name is missing" in capsys.readouterr().err
