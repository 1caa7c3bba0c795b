"""Organisers find their bookings: by whatever they know of them, without those of others."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from db.connections import Conn, one
from db.maintenance import booking_search
from db.maintenance.booking_terms import codes_in, wanted_words, words_of
from tests.support.archiving import move_all
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, backstage, path_of


def follow(conn: Conn) -> None:
    """What the task does, without the slack of production."""
    booking_search.index(conn, booking_search.take_marked(conn, 10_000))
    changed = conn.execute("select distinct event_id, id from state_log where noun = 'booking'")
    booking_search.index(conn, changed.fetchall())


def search(opera: Caller, **wanted: Any) -> list[str]:
    answer = opera.get(f"/v1/organisations/{opera.id}/bookings?{urlencode(wanted)}")
    assert answer.status_code == 200, answer.text
    return [booking["id"] for booking in answer.json]


def rename(conn: Conn, buyer: Caller, name: str) -> None:
    conn.execute("update buyers set name = %s where id = %s", [name, buyer.id])


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("Nguyễn Thị Ánh Đặng", "dang nguyen"),
        ("NGUYEN Thi", "Nguyễn"),
        ("مُحَمَّد أحمد", "احمد محمد"),
        ("فاطمة الزهراني", "فاطمه"),
        ("O\u2019Brien-Smith", "obrien"),
        ("O'Brien", "brien"),
        ("Straße", "STRASSE"),
        ("İstanbul I\u015f\u0131k", "istanbul isik"),
        ("Łukasz Żółć", "lukasz zolc"),
        ("आनंद शर्मा", "शर्मा"),
        ("\uff21\uff4e\uff41", "ana"),
    ],
)
def test_words_of_names_are_compared_without_marks(name: str, typed: str) -> None:
    assert set(wanted_words(typed)) <= set(words_of(name))


def test_vowels_of_indic_scripts_are_no_marks() -> None:
    assert words_of("कमल") != words_of("कमला")


def test_codes_are_found_in_the_text_of_a_transfer() -> None:
    assert "2PDV72Z5" in codes_in("Tickets 2pdv 72Z5, thanks")
    assert codes_in("2PDV72Z") == []


def test_bookings_are_found_by_all_that_is_known_of_them(
    tosca: Sale, paid: dict[str, Any], opera: Caller, alice: Caller, bob: Caller, conn: Conn
) -> None:
    rename(conn, alice, "Nguyễn Thị Ánh")
    rename(conn, bob, "Bob Nguyen")
    other = tosca.book(bob, conn, seats=["2-1"])
    conn.execute("update payments set card_last4 = 42 where booking_id = %s", [paid["id"]])
    opera.call("PUT", f"{path_of(tosca, paid)}/tags", {"tags": ["Presse", "VIP"]})
    assert search(opera) == search(opera, name="nguyen") == [], "not yet"
    follow(conn)
    both = sorted([paid["id"], other["id"]], reverse=True)
    assert search(opera) == search(opera, name="NGUYEN") == both
    for wanted in (
        {"name": "ánh"},
        {"name": "Anh Nguyễn"},
        {"email": "Alice@Example.ORG"},
        {"code": f" {paid['code'][:4].lower()}-{paid['code'][4:]}"},
        {"reference": f"Rechnung {paid['code']} Tosca"},
        {"card": "0042"},
        {"state": "confirmed"},
        {"tag": "presse"},
        {"event_id": tosca.id, "seat": "1-2"},
        {"event_id": tosca.id, "seat": "1 2"},
        {"event_id": tosca.id, "seat": "floor 1 2"},
        {"event_id": tosca.id, "state": "confirmed", "name": "nguyen", "card": "0042"},
        {"email": "alice@example.org", "state": "confirmed"},
    ):
        assert search(opera, **wanted) == [paid["id"]], wanted
    for wanted in (
        {"name": "ngu"},
        {"name": "nguyen bob", "state": "confirmed"},
        {"email": "alice@example.org", "state": "held"},
        {"event_id": tosca.id, "seat": "2-9"},
        {"card": "0043"},
        {"tag": "VI"},
    ):
        assert search(opera, **wanted) == [], wanted


def test_a_seat_needs_its_event(opera: Caller) -> None:
    refused = opera.get(f"/v1/organisations/{opera.id}/bookings?seat=1-1")
    assert (refused.status_code, refused.json["errors"][0]["path"]) == (422, "event_id")


def test_bookings_of_others_are_not_found(
    tosca: Sale, paid: dict[str, Any], opera: Caller, circus: Caller, alice: Caller, conn: Conn
) -> None:
    follow(conn)
    assert search(opera, email="alice@example.org") == [paid["id"]]
    for wanted in (
        {}, {"name": "alice"}, {"email": "alice@example.org"}, {"code": paid["code"]},
        {"reference": paid["code"]}, {"state": "confirmed"},
    ):  # fmt: skip
        assert search(circus, **wanted) == [], wanted
    path = f"/v1/organisations/{circus.id}/bookings?event_id={tosca.id}"
    assert circus.get(path).status_code == 404
    assert circus.get(f"/v1/organisations/{opera.id}/bookings").status_code == 404
    assert alice.get(f"/v1/organisations/{opera.id}/bookings").status_code == 403


@pytest.mark.parametrize("wanted", [{}, {"name": "alice"}, {"email": "alice@example.org"}, "event"])
def test_pages_follow_each_other(
    tosca: Sale, opera: Caller, alice: Caller, conn: Conn, wanted: Any
) -> None:
    evening = backstage(tosca, conn)
    evening.set_event(seats_per_buyer=20)
    made = []
    for seat in range(1, 8):
        booking = tosca.book(alice, conn, seats=[f"2-{seat}"])
        evening.confirm(UUID(booking["id"]))
        made.append(booking["id"])
    follow(conn)
    wanted = {"event_id": tosca.id} if wanted == "event" else wanted
    path = f"/v1/organisations/{opera.id}/bookings?{urlencode(wanted | {'limit': 3})}"
    found: list[str] = []
    while path:
        answer = opera.get(path)
        found += [booking["id"] for booking in answer.json]
        path = answer.headers.get("Link", "")[1:].partition(">")[0]
    assert found == sorted(made, reverse=True)


def test_every_way_to_search_finds_the_same(
    tosca: Sale, paid: dict[str, Any], opera: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A common term begins elsewhere than a rare one."""
    follow(conn)
    wanted = {"name": "alice", "state": "confirmed"}
    for few in (0, 1, 2000):
        monkeypatch.setattr(booking_search, "FEW", few)
        for more in ({}, {"event_id": tosca.id}):
            assert search(opera, **wanted, **more) == [paid["id"]], (few, more)


def test_what_staff_looked_for_is_not_in_the_audit_log(
    paid: dict[str, Any], opera: Caller, conn: Conn
) -> None:
    search(opera, email="alice@example.org", name="Alice", state="held")
    act = one(conn.execute("select * from audit_log where action = 'bookings read'"))
    assert act["detail"]["query"] == {"email": "…", "name": "…", "state": "held"}
    assert act["organisation_id"] == opera.id


def terms(conn: Conn) -> int:
    return int(one(conn.execute("select count(*) as n from booking_terms"))["n"])


def test_a_change_is_found_and_what_was_before_is_not(
    tosca: Sale, alice: Caller, opera: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn, seats=["1-1"])
    follow(conn)
    assert search(opera, state="held") == search(opera, name="alice") == [booking["id"]]
    backstage(tosca, conn).confirm(UUID(booking["id"]))
    assert search(opera, state="held") == [], "the booking itself decides"
    renamed = opera.call("PUT", f"{path_of(tosca, booking)}/name", {"name": "Alicia Prynne"})
    assert (renamed.status_code, renamed.json["name"]) == (200, "Alicia Prynne")
    follow(conn)
    assert search(opera, state="confirmed") == search(opera, name="prynne") == [booking["id"]]
    assert alice.patch("/v1/me", {"name": "Alice Liddell"}).status_code == 200
    follow(conn)
    assert search(opera, name="liddell") == [booking["id"]]
    before = terms(conn)
    follow(conn)
    assert terms(conn) == before


def test_terms_go_with_what_they_are_of(
    tosca: Sale, paid: dict[str, Any], alice: Caller, conn: Conn
) -> None:
    follow(conn)
    assert terms(conn) > 0
    conn.execute(
        """update events set on_sale_at = now() - interval '200 d',
               off_sale_at = now() - interval '100 d', starts_at = now() - interval '99 d'"""
    )
    conn.execute("update emails set state = 'sent', sent_at = now()")
    backstage(tosca, conn).number_receipts()
    conn.execute("delete from outbox")
    move_all(backstage(tosca, conn))
    follow(conn)
    assert terms(conn) == 0


def test_an_erasure_empties_them_at_once(
    tosca: Sale, paid: dict[str, Any], opera: Caller, alice: Caller, conn: Conn
) -> None:
    path = path_of(tosca, paid)
    assert opera.call("PUT", f"{path}/tags", {"tags": ["aisle"]}).status_code == 200
    note = opera.post(f"{path}/notes", {"note": "Calls often"}, key="note")
    assert note.status_code == 201, note.text
    follow(conn)
    conn.execute(
        """update events set on_sale_at = now() - interval '20 d',
               off_sale_at = now() - interval '10 d', starts_at = now() - interval '9 d'"""
    )
    conn.execute("select erase_account(%s)", [alice.id])
    assert terms(conn) == 0
    follow(conn)
    assert search(opera, state="confirmed") == [paid["id"]]
    assert search(opera, name="alice") == search(opera, name="erased") == []
    assert search(opera, tag="aisle") == []
    assert opera.get(f"{path}/details").json["notes"][0]["note"] == "erased"


def test_the_task_follows_the_log(running: Running) -> None:
    booking = running.sale.hold("alice")
    organisation = one(running.conn.execute("select organisation_id as id from events"))["id"]

    def found() -> list[Any]:
        wanted = dict.fromkeys(
            ("event_id", "state", "email", "code", "reference", "card", "seat", "tag")
        )
        wanted |= {"name": "alice", "starting_after": None, "limit": 5}
        rows = booking_search.list_bookings(running.conn, None, organisation, wanted)
        return [(row["id"], row["state"]) for row in rows]

    enqueue: Callable[[], Any] = lambda: running.conn.execute(  # noqa: E731
        "select enqueue('index_bookings', 'maintenance', 'index_bookings', '{}')"
    )
    assert booking_search.is_due(running.conn)
    with running.work():
        wait_until(lambda: enqueue() and found() == [(booking, "held")], 20)
        running.pay(booking)
        running.wait_for(booking, "confirmed")
        wait_until(lambda: enqueue() and not booking_search.is_due(running.conn), 20)
    card = one(running.conn.execute("select card_last4 from payments"))["card_last4"]
    assert card == 4242
    assert found() == [(booking, "confirmed")]
