"""The compact chart and the bitmap of free seats; and booking by what they show."""

import gzip
import json
import os
import random
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from db.catalogue.seating import read_plan
from db.connections import Conn, autocommit, one
from db.maintenance import housekeeping
from ops.plans.bowl import bowl
from ops.plans.theatre import PATH
from tests.support.charts import chart_of
from tests.support.world import Answer, Caller, Sale, small_hall

LARGEST_CHART, LARGEST_BITMAP = 60_000, 11_000  # bytes, compressed, of 80,000 seats


def chart_path(sale: Sale, version: dict[str, Any]) -> str:
    return f"{sale.path}/charts/{version['version_id']}"


def next_version(sale: Sale) -> dict[str, Any]:
    """Another version of the plan: a row in front, so that all seats have other numbers."""
    plan = small_hall()
    row = small_hall(1)["zones"][0]["rows"][0]
    row |= {"row_number": "0", "position": {"x": 0, "y": -20}}
    for seat in row["seats"]:
        seat["seat_guid"] = "0" + seat["seat_guid"]
    plan["zones"][0]["rows"].insert(0, row)
    answer = sale.opera.post(f"/v1/plans/{sale.plan['id']}/versions", plan)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def move(sale: Sale, version: dict[str, Any]) -> None:
    body = {"plan_version_id": version["version_id"]}
    answer = sale.opera.post(f"{sale.path}/plan-version", body)
    assert answer.status_code == 200, answer.text


def numbers(conn: Conn, version: dict[str, Any]) -> dict[str, int]:
    """The numbers of seats by guid."""
    query = "select guid, seat from plan_seats where plan_version_id = %s"
    return {row["guid"]: row["seat"] for row in conn.execute(query, [version["version_id"]])}


# Sizes


@pytest.mark.slow
def test_a_stadium_is_as_small_as_promised() -> None:
    """80,000 seats in 3,896 rows."""
    plan = read_plan(bowl())
    assert len(plan.seats) == 80_000
    chart = chart_of(plan)
    assert len(gzip.compress(chart, 9)) <= LARGEST_CHART
    bits = bytearray(json.loads(chart)["last_seat"] // 8 + 1)
    draw = random.Random(1)
    for seat in plan.seats:
        bits[seat.seat >> 3] |= draw.getrandbits(1) << (seat.seat & 7)
    assert len(gzip.compress(b64encode(bits), 6)) <= LARGEST_BITMAP - 200


def test_the_theatre_is_small() -> None:
    assert len(gzip.compress(chart_of(read_plan(PATH.read_bytes())), 9)) <= 4000


@pytest.mark.parametrize(
    ("name", "most"), [("cityhall", 4000), ("ticketland", 6000), ("metalist", 60_000)]
)
def test_real_halls_are_small(name: str, most: int) -> None:
    folder = os.environ.get("USHER_PLANS")
    if not folder:
        pytest.skip("USHER_PLANS does not name a folder with real plans")
    plan = read_plan((Path(folder) / f"{name}.json").read_bytes())
    assert len(gzip.compress(chart_of(plan), 9)) <= most


# The chart


def test_a_chart_is_kept_for_ever(tosca: Sale, anybody: Caller) -> None:
    answer = anybody.get(chart_path(tosca, tosca.plan))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in answer.headers
    assert (answer.json["seats"], answer.json["rows"]["name"]) == (30, ["1", "2", "3"])
    assert [c["name"] for c in answer.json["categories"]] == ["Best", "Rest"]
    same = {"If-None-Match": answer.headers["ETag"]}
    assert anybody.get(chart_path(tosca, tosca.plan), headers=same).status_code == 304


def test_a_chart_is_compressed_once_for_those_who_can_read_it(
    tosca: Sale, anybody: Caller, conn: Conn
) -> None:
    plain = anybody.get(chart_path(tosca, tosca.plan))
    packed = anybody.get(chart_path(tosca, tosca.plan), headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert gzip.decompress(packed.data) == plain.data
    stored = one(conn.execute("select document from plan_charts"))["document"]
    assert bytes(stored) == packed.data


def test_a_chart_that_was_not_made_with_its_plan_is_made_when_it_is_read(
    tosca: Sale, anybody: Caller, conn: Conn
) -> None:
    made = one(conn.execute("delete from plan_charts returning document"))["document"]
    packed = anybody.get(chart_path(tosca, tosca.plan), headers={"Accept-Encoding": "gzip"})
    assert packed.data == bytes(made)
    assert one(conn.execute("select document from plan_charts"))["document"] == made


def test_charts_of_the_events_own_and_earlier_versions_are_shown(
    tosca: Sale, anybody: Caller, circus: Caller
) -> None:
    draft, later = tosca.add_event(), next_version(tosca)
    assert anybody.get(chart_path(draft, tosca.plan)).status_code == 404
    assert anybody.get(chart_path(tosca, later)).status_code == 404
    assert anybody.get(f"{tosca.path}/charts/999").status_code == 404
    move(tosca, later)
    for version in (later, tosca.plan):
        answer = anybody.get(chart_path(tosca, version))
        assert (answer.status_code, answer.json["plan_version_id"]) == (200, version["version_id"])


# The bitmap


class Reader:
    """Reads the bitmap as a page does, but in Python, and without waiting a second."""

    def __init__(self, sale: Sale, anybody: Caller, conn: Conn) -> None:
        self.sale, self.anybody, self.conn = sale, anybody, conn

    def read(self, after: int | None = None) -> dict[str, Any]:
        """The next answer. What was noted before is a minute old."""
        self.conn.execute("update availability_snapshots set seen_at = seen_at - interval '1 min'")
        kept = self.anybody.client.application.extensions["free_bits"]
        for each in kept._kept.values():
            each.made_at = -3600.0
        query = "" if after is None else f"?after={after}"
        answer = self.anybody.get(f"{self.sale.path}/availability/bitmap{query}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found


@pytest.fixture
def reader(tosca: Sale, anybody: Caller, conn: Conn) -> Reader:
    return Reader(tosca, anybody, conn)


def free_seats(answer: dict[str, Any]) -> set[int]:
    bits = b64decode(answer["bitmap"])
    return {n for n in range(8 * len(bits)) if bits[n >> 3] >> (n & 7) & 1}


def test_the_bitmap_has_a_bit_for_each_seat(
    tosca: Sale, reader: Reader, alice: Caller, conn: Conn
) -> None:
    seats = numbers(conn, tosca.plan)
    whole = reader.read()
    assert free_seats(whole) == set(seats.values())
    assert (whole["plan_version_id"], whole["free"]) == (tosca.plan["version_id"], 30)
    assert (whole["after"], whole["freed"], whole["taken"]) == (None, [], [])
    tosca.book(alice, conn, seats=["2-3", "2-4"])
    blocked = {"seats": ["3-9"]}
    assert tosca.opera.post(f"{tosca.path}/blocks", blocked).status_code in (200, 204)
    gone = {seats[guid] for guid in ("2-3", "2-4", "3-9")}
    later = reader.read()
    assert free_seats(later) == set(seats.values()) - gone
    assert later["free"] == 27


def test_changes_are_told_after_a_cursor(
    tosca: Sale, reader: Reader, alice: Caller, conn: Conn
) -> None:
    seats = numbers(conn, tosca.plan)
    first = reader.read()
    booking = tosca.book(alice, conn, seats=["2-3", "2-4"])
    second = reader.read(first["cursor"])
    assert second["bitmap"] is None and second["after"] == first["cursor"]
    assert (second["freed"], second["taken"]) == ([], sorted([seats["2-3"], seats["2-4"]]))
    assert alice.delete(f"{tosca.path}/bookings/{booking['id']}").status_code == 204
    tosca.book(alice, conn, seats=["2-4", "2-5"])
    third = reader.read(second["cursor"])
    assert (third["freed"], third["taken"]) == ([seats["2-3"]], [seats["2-5"]])
    since_first = reader.read(first["cursor"])
    assert since_first["taken"] == sorted([seats["2-4"], seats["2-5"]])
    nothing = reader.read(third["cursor"])
    assert nothing["cursor"] == third["cursor"]
    assert (nothing["freed"], nothing["taken"], nothing["free"]) == ([], [], 28)


def test_an_unknown_cursor_gets_the_whole_bitmap(reader: Reader, conn: Conn) -> None:
    first = reader.read()
    for cursor in (1, first["cursor"] - 1, first["cursor"] + 1):
        assert reader.read(cursor)["bitmap"] == first["bitmap"]


def test_a_moved_event_gets_the_whole_bitmap_of_its_new_version(
    tosca: Sale, reader: Reader, conn: Conn
) -> None:
    first, version = reader.read(), next_version(tosca)
    move(tosca, version)
    moved = reader.read(first["cursor"])
    assert moved["plan_version_id"] == version["version_id"]
    assert free_seats(moved) == set(numbers(conn, version).values())


def test_a_cursor_of_one_process_is_known_to_another(
    tosca: Sale, reader: Reader, alice: Caller, conn: Conn
) -> None:
    first = reader.read()
    tosca.book(alice, conn, seats=["2-3"])
    reader.anybody.client.application.extensions["free_bits"]._kept.clear()
    assert len(reader.read(first["cursor"])["taken"]) == 1


def test_too_many_changes_are_told_as_a_whole(
    reader: Reader, tosca: Sale, monkeypatch: pytest.MonkeyPatch, alice: Caller, conn: Conn
) -> None:
    monkeypatch.setattr("web.api.charts.MOST_CHANGED", 1)
    first = reader.read()
    tosca.book(alice, conn, seats=["2-3", "2-4"])
    assert reader.read(first["cursor"])["free"] == 28
    assert reader.read(first["cursor"])["bitmap"]


def test_many_readers_of_two_processes_make_one_snapshot(
    app: Flask, tosca: Sale, conn: Conn
) -> None:
    from web.api.charts import Availability, _read_availability

    def look(_: int) -> Availability:
        return _read_availability(tosca.id, None)

    with ThreadPoolExecutor(8) as threads:
        seen = {found.newest.number for found in threads.map(look, range(40))}
    assert len(seen) == 1
    assert one(conn.execute("select count(*) as n from availability_snapshots"))["n"] == 1


def test_a_sale_writes_nothing_for_the_bitmap(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn, seats=["2-3", "2-4"])
    assert one(conn.execute("select count(*) as n from availability_snapshots"))["n"] == 0


def test_old_snapshots_are_deleted(reader: Reader, tosca: Sale, alice: Caller, conn: Conn) -> None:
    reader.read()
    conn.execute("update availability_snapshots set seen_at = seen_at - interval '10 min'")
    tosca.book(alice, conn, seats=["2-3"])
    reader.read()
    count = "select count(*) as n from availability_snapshots"
    assert one(conn.execute(count))["n"] == 1
    conn.execute("update availability_snapshots set seen_at = seen_at - interval '2 h'")
    with autocommit() as own:
        assert housekeeping.purge_batch(own, "availability_snapshots", 10) == 1
    assert one(conn.execute(count))["n"] == 0
    assert reader.read()["free"] == 29


def test_drafts_and_unknown_events_have_no_bitmap(tosca: Sale, anybody: Caller) -> None:
    for event in (tosca.add_event().id, 999_999):
        assert anybody.get(f"/v1/events/{event}/availability/bitmap").status_code == 404


# Booking by the chart


def by_chart(conn: Conn, version: dict[str, Any], *guids: str) -> dict[str, Any]:
    seats = numbers(conn, version)
    return {
        "chart_seats": [seats[guid] for guid in guids],
        "plan_version_id": version["version_id"],
    }


def guids_of(booking: dict[str, Any]) -> list[str]:
    return sorted(item["guid"] for item in booking["items"])


def book(sale: Sale, buyer: Caller, wish: dict[str, Any], key: str = "book") -> Answer:
    return buyer.post(f"{sale.path}/bookings", wish, key=key)


@pytest.fixture
def open_sale(hall: Sale) -> Sale:
    """An event that can be booked directly."""
    return hall.add_event(gated=False).open()


def test_seats_are_booked_by_their_numbers(open_sale: Sale, alice: Caller, conn: Conn) -> None:
    answer = book(open_sale, alice, by_chart(conn, open_sale.plan, "2-3", "2-4"))
    assert answer.status_code == 201, answer.text
    assert guids_of(answer.json) == ["2-3", "2-4"]


def test_an_event_that_was_moved_is_not_booked_by_its_old_chart(
    open_sale: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    version = next_version(open_sale)
    wish = by_chart(conn, open_sale.plan, "2-3", "2-4")
    first = book(open_sale, alice, wish)
    move(open_sale, version)
    refused = book(open_sale, bob, wish)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "plan_moved")
    named = {"seats": ["2-5"], "plan_version_id": open_sale.plan["version_id"]}
    assert book(open_sale, bob, named).json["conflict_reason"] == "plan_moved"
    again = book(open_sale, alice, wish)
    assert (again.status_code, again.json["id"]) == (201, first.json["id"])  # the same request
    right = book(open_sale, bob, by_chart(conn, version, "2-5"))
    assert guids_of(right.json) == ["2-5"]


def test_the_queue_is_joined_by_the_chart(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    version = next_version(tosca)
    wish = by_chart(conn, tosca.plan, "2-3", "2-4")
    joined = alice.post(f"{tosca.path}/queue", wish, key="join")
    assert joined.status_code == 201, joined.text
    move(tosca, version)
    again = alice.post(f"{tosca.path}/queue", wish, key="join")
    assert (again.status_code, again.json["id"]) == (200, joined.json["id"])
    refused = bob.post(f"{tosca.path}/queue", wish, key="join")
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "plan_moved")
    tosca.drain(conn)
    entry = alice.get(joined.json["links"]["self"]).json
    assert (entry["state"], sorted(entry["seats"])) == ("booked", ["2-3", "2-4"])


@pytest.mark.parametrize("numbers", [[4_000], [4_000, 4_001]])
def test_numbers_that_the_plan_has_not_are_refused(
    open_sale: Sale, alice: Caller, numbers: list[int]
) -> None:
    version = open_sale.plan["version_id"]
    wish = {"chart_seats": numbers, "plan_version_id": version}
    for path in ("bookings", "queue"):
        refused = alice.post(f"{open_sale.path}/{path}", wish, key="x")
        assert (refused.status_code, refused.json["conflict_reason"]) == (422, "unknown_seat")


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"chart_seats": [1]}, "plan_version_id"),
        ({"chart_seats": [1], "seats": ["1-1"], "plan_version_id": 1}, "chart_seats"),
        ({"quantity": 1, "plan_version_id": 1}, "plan_version_id"),
        ({"chart_seats": [1, 1], "plan_version_id": 1}, "chart_seats"),
        ({"chart_seats": [], "plan_version_id": 1}, "chart_seats"),
        ({"chart_seats": [1], "quantity": 2, "plan_version_id": 1}, "quantity"),
        ({"chart_seats": [1], "category": 1, "plan_version_id": 1}, "category"),
        ({"chart_seats": [1], "accessible": 2, "plan_version_id": 1}, "accessible"),
    ],
)
def test_a_wish_names_seats_in_one_way(
    open_sale: Sale, alice: Caller, wish: dict[str, Any], path: str
) -> None:
    refused = book(open_sale, alice, wish)
    assert refused.status_code == 422, refused.text
    assert path in {error["path"] for error in refused.json["errors"]}


def test_a_pass_does_not_name_seats_of_a_chart(tosca: Sale, alice: Caller) -> None:
    wish = {"chart_seats": [1], "plan_version_id": 1, "admission": True}
    refused = alice.post(f"{tosca.path}/queue", wish, key="x")
    assert refused.status_code == 422
    assert [error["path"] for error in refused.json["errors"]] == ["admission"]
