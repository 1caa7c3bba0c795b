"""Admission: a pass to choose seats with, for entries that ask for one."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from db.bookings import bookings
from db.connections import Conn, one
from db.queue import entries, lanes
from db.runtime.errors import Conflict
from tests.support.theatre import Theatre, build_theatre
from tests.support.world import Answer, Caller, Sale

GUIDS = ["1-1", "1-2"]


def ask(theatre: Theatre, quantity: int = 1) -> int:
    """Somebody asks for a pass; the number."""
    number = theatre.enter(quantity)
    theatre.conn.execute("update entries set admission = true where number = %s", [number])
    return number


def entry_id(theatre: Theatre, number: int) -> UUID:
    query = "select id from entries where event_id = %s and number = %s"
    found: UUID = one(theatre.conn.execute(query, [theatre.event, number]))["id"]
    return found


def take(theatre: Theatre, number: int) -> Any:
    buyer = theatre.entries()[number].buyer
    return entries.take_pass(theatre.conn, theatre.event, entry_id(theatre, number), buyer)


def let_pass(theatre: Theatre, number: int) -> None:
    """The time of a pass is over, and the clock comes by."""
    theatre.conn.execute(
        "update entries set pass_until = now() - interval '1 s' where number = %s", [number]
    )
    lanes.expire_passes(theatre.conn, 100)


def pass_state(theatre: Theatre, number: int) -> str | None:
    query = "select pass_state from entries where number = %s"
    state: str | None = one(theatre.conn.execute(query, [number]))["pass_state"]
    return state


def test_passes_are_offered_in_the_order_of_numbers_as_seats_are_free(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    for _ in range(3):
        ask(theatre, quantity=2)
    assert theatre.drain().admitted == 2
    assert theatre.states() == ["admitted", "admitted", "waiting"]


def test_a_seat_nobody_may_choose_makes_no_room(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".wk"]})
    ask(theatre)
    ask(theatre)
    theatre.serve()
    assert theatre.states() == ["admitted", "waiting"]


def test_who_asks_for_seats_and_who_for_a_pass_wait_in_one_line(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    ask(theatre)
    theatre.enter(2)
    ask(theatre)
    theatre.drain(batch=2)
    assert theatre.states() == ["admitted", "booked", "waiting"]
    theatre.drain(batch=2)
    assert theatre.states() == ["admitted", "booked", "admitted"]


def test_a_pass_is_taken_once_and_given_again_the_same(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    number = ask(theatre)
    theatre.drain()
    until = take(theatre, number)
    assert take(theatre, number) == until
    assert pass_state(theatre, number) == "taken"


def test_who_is_not_there_is_skipped_at_once_and_keeps_the_place(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    ghost, other, third = ask(theatre), ask(theatre), ask(theatre)
    theatre.serve()
    assert theatre.states() == ["admitted", "waiting", "waiting"]
    let_pass(theatre, ghost)
    theatre.serve()
    assert theatre.states() == ["admitted", "admitted", "waiting"]
    assert take(theatre, ghost) is None  # back, and before the third
    take(theatre, other)
    let_pass(theatre, other)
    theatre.serve()
    assert theatre.states() == ["admitted", "lapsed", "waiting"]
    assert take(theatre, ghost) is not None
    assert third == 3


def test_who_does_not_come_back_within_the_grace_time_has_lapsed(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    ghost = ask(theatre)
    theatre.drain()
    let_pass(theatre, ghost)
    assert pass_state(theatre, ghost) == "missed"
    let_pass(theatre, ghost)
    assert theatre.entries()[ghost].reason == "pass_not_taken"
    with pytest.raises(Conflict, match="There is no pass"):
        take(theatre, ghost)


def test_a_pass_that_is_not_used_gives_its_room_to_the_next(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    first = ask(theatre)
    ask(theatre)
    theatre.serve()
    take(theatre, first)
    let_pass(theatre, first)
    theatre.serve()
    assert theatre.states() == ["lapsed", "admitted"]
    assert theatre.entries()[first].reason == "pass_not_used"


def test_passes_count_as_buyers_in_flight(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["......"]})
    conn.execute("update lanes set in_flight_cap = 2")
    numbers = [ask(theatre) for _ in range(3)]
    theatre.serve()
    assert theatre.states() == ["admitted", "admitted", "waiting"]
    take(theatre, numbers[0])
    let_pass(theatre, numbers[0])
    theatre.serve()
    assert theatre.states() == ["lapsed", "admitted", "admitted"]


def test_when_all_is_sold_nobody_waits_for_a_pass(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]}, prices={1: 0})
    theatre.enter()
    ask(theatre)
    theatre.serve()
    assert theatre.states() == ["booked", "unavailable"]


def test_a_long_line_for_passes_waits_where_it_is(conn: Conn) -> None:
    """Each pass that comes free is for the next one alone: the others need not be looked at."""
    theatre = build_theatre(conn, {1: [".."]})
    for _ in range(30):
        ask(theatre)
    theatre.serve(batch=10)
    assert theatre.states() == ["admitted"] * 2 + ["waiting"] * 28
    lane = conn.execute("select now_serving from lane_state").fetchone()
    assert lane == {"now_serving": 2}
    let_pass(theatre, 1)
    theatre.serve(batch=10)
    assert theatre.states()[2:4] == ["admitted", "waiting"]


def test_a_free_ticket_booked_with_a_pass_wakes_the_lane(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..."]}, prices={1: 0})
    conn.execute("update lanes set in_flight_cap = 1")
    first = ask(theatre)
    ask(theatre)
    theatre.serve()
    take(theatre, first)
    wish = {"event_id": theatre.event, "entry_id": entry_id(theatre, first), "quantity": 1}
    wish |= {"buyer_id": theatre.entries()[first].buyer, "category": None, "together": True}
    wish |= {"accessible": 0, "seats": None, "accept_terms": True}
    bookings.book_seats(conn, wish, per_second=100)
    theatre.serve()
    assert theatre.states() == ["booked", "admitted"]


def test_leaving_with_a_pass_makes_room(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    first = ask(theatre)
    ask(theatre)
    theatre.serve()
    buyer = theatre.entries()[first].buyer
    entries.leave_queue(conn, theatre.event, entry_id(theatre, first), buyer)
    theatre.serve()
    assert theatre.states() == ["left", "admitted"]


# Over HTTP


@pytest.fixture
def admitted(tosca: Sale, alice: Caller, conn: Conn) -> Iterator[tuple[str, str]]:
    """alice has a pass for at most two seats: (the entry's path, the pass)."""
    joined = tosca.join(alice, quantity=2, admission=True)
    assert joined.status_code == 201
    tosca.drain(conn)
    path = joined.json["links"]["self"]
    assert alice.get(path).json["pass_state"] == "offered"
    yield path, alice.post(f"{path}/pass").json["pass"]


def book(sale: Sale, caller: Caller, key: str = "book", **wish: Any) -> Answer:
    return caller.post(f"{sale.path}/bookings", wish, key=key)


def test_seats_are_chosen_with_a_pass(
    tosca: Sale, alice: Caller, admitted: tuple[str, str]
) -> None:
    path, queue_pass = admitted
    free = GUIDS
    booked = book(tosca, alice, seats=free, **{"pass": queue_pass})
    assert booked.status_code == 201
    assert booked.json["state"] == "held"
    assert {item["guid"] for item in booked.json["items"]} == set(free)
    entry = alice.get(path).json
    assert (entry["state"], entry["booking_id"]) == ("booked", booked.json["id"])
    again = book(tosca, alice, seats=free, **{"pass": queue_pass})
    assert (again.status_code, again.json) == (201, booked.json)
    other = book(tosca, alice, key="other", quantity=1, **{"pass": queue_pass})
    assert (other.status_code, other.json["conflict_reason"]) == (409, "pass_over")


def test_best_available_goes_with_a_pass_too(
    tosca: Sale, alice: Caller, admitted: tuple[str, str]
) -> None:
    booked = book(tosca, alice, quantity=2, category=1, **{"pass": admitted[1]})
    assert (booked.status_code, booked.json["quantity"]) == (201, 2)


def test_a_seat_that_was_taken_leaves_the_pass_as_it_is(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn, admitted: tuple[str, str]
) -> None:
    taken, free = GUIDS
    tosca.join(bob, seats=[taken])
    tosca.drain(conn)
    refused = book(tosca, alice, seats=[taken], **{"pass": admitted[1]})
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "seats_taken")
    assert alice.get(admitted[0]).json["pass_state"] == "taken"
    assert book(tosca, alice, "2nd", seats=[free], **{"pass": admitted[1]}).status_code == 201


def test_a_pass_is_for_so_many_seats_and_for_its_buyer(
    tosca: Sale, alice: Caller, bob: Caller, admitted: tuple[str, str]
) -> None:
    more = book(tosca, alice, quantity=3, **{"pass": admitted[1]})
    assert (more.status_code, more.json["conflict_reason"]) == (422, "pass_too_small")
    assert book(tosca, bob, quantity=1, **{"pass": admitted[1]}).status_code == 403
    assert book(tosca, alice, quantity=1, **{"pass": admitted[1][:-3] + "AAA"}).status_code == 403
    assert book(tosca, alice, quantity=1, **{"pass": str(alice.token)}).status_code == 403


def test_a_gated_event_asks_for_a_pass(tosca: Sale, alice: Caller) -> None:
    refused = book(tosca, alice, quantity=1)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "pass_needed")


def test_an_event_that_is_not_gated_sells_at_once_unless_others_wait(
    tosca: Sale, alice: Caller, bob: Caller, charlie: Caller, conn: Conn
) -> None:
    conn.execute("update events set gated = false")
    assert book(tosca, alice, quantity=2).status_code == 201
    tosca.join(bob)
    before = book(tosca, charlie, quantity=1)
    assert (before.status_code, before.json["conflict_reason"]) == (409, "queue")
    tosca.drain(conn)
    assert book(tosca, charlie, quantity=1).status_code == 201
    conn.execute("update lanes set in_flight_cap = 3")
    full = book(tosca, bob, quantity=1)
    assert (full.status_code, full.json["conflict_reason"]) == (409, "full")


def test_the_cap_counts_what_was_booked_at_once(tosca: Sale, alice: Caller, conn: Conn) -> None:
    conn.execute("update events set gated = false, seats_per_buyer = 3")
    assert book(tosca, alice, "1st", quantity=2).status_code == 201
    more = book(tosca, alice, "2nd", quantity=2)
    assert (more.status_code, more.json["conflict_reason"]) == (422, "over_cap")
    counts = conn.execute("select count(*) as n from entries").fetchone()
    assert counts == {"n": 1}  # nothing was stored


def test_a_pass_is_asked_for_without_seats(tosca: Sale, alice: Caller) -> None:
    refused = tosca.join(alice, quantity=1, category=1, admission=True)
    assert refused.status_code == 422
    assert "Seats are chosen later" in refused.text


def test_somebody_elses_pass_is_not_to_be_had(
    tosca: Sale, bob: Caller, admitted: tuple[str, str]
) -> None:
    assert bob.post(f"{admitted[0]}/pass").status_code == 404


def test_what_was_said_about_a_lane_is_audited(tosca: Sale) -> None:
    lane = f"{tosca.path}/lane"
    changed = tosca.opera.call("PATCH", lane, {"weight": 2, "admission_rate": 30})
    assert changed.json["admission_rate"] == 30
    tosca.opera.post(f"{tosca.path}/pause")
    latest, before = tosca.opera.get(f"{tosca.path}/changes").json[:2]
    assert latest["detail"] == {"paused": {"from": False, "to": True}}
    assert before["detail"]["admission_rate"] == {"from": None, "to": 30}
    assert latest["actor"].startswith("organiser:")


@pytest.mark.faults("H3")
def test_unused_passes_keep_an_event_shut_for_a_minute_only(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    conn.execute("update events set pass_seconds = 600")
    idle = [ask(theatre) for _ in range(4)]
    waiting = ask(theatre)
    theatre.serve()
    for number in idle:
        conn.execute(
            "update entries set pass_state = 'taken', pass_until = now() + interval '600 s'"
            " where number = %s",
            [number],
        )
    lanes.expire_passes(conn, 100)
    theatre.serve()
    assert pass_state(theatre, waiting) is None
    conn.execute(
        "update entries set pass_until = pass_until - interval '61 s' where pass_until is not null"
    )
    conn.execute("update lane_state set served_at = served_at - interval '61 s'")
    lanes.expire_passes(conn, 100)
    theatre.serve()
    assert pass_state(theatre, waiting) == "offered"
    assert {pass_state(theatre, number) for number in idle} == {"taken"}


@pytest.mark.faults("H3")
@pytest.mark.parametrize(("served_ago", "wakes"), [(60, 1), (0, 0)])
def test_a_pass_that_stopped_keeping_its_place_wakes_its_lane_once(
    conn: Conn, served_ago: int, wakes: int
) -> None:
    """It stopped five seconds ago; a lane that was served since then has seen that."""
    theatre = build_theatre(conn, {1: ["."]})
    conn.execute("update events set pass_seconds = 600")
    idle, _ = ask(theatre), ask(theatre)
    theatre.serve()
    take(theatre, idle)
    conn.execute(
        "update entries set pass_until = now() + interval '535 s' where number = %s", [idle]
    )
    conn.execute(
        "update lane_state set served_at = now() - make_interval(secs => %s)", [served_ago]
    )
    conn.execute("delete from lane_wakes")
    assert theatre.lane()["state"] == "waiting_for_seats"
    for _ in range(2):
        lanes.expire_passes(conn, 100)
        assert len(conn.execute("select from lane_wakes").fetchall()) == wakes
