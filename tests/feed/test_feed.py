"""The feed tells what happened, once and in order, however late it commits; tables that are kept by
it alone are those of the sale."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from db.catalogue import events
from db.connections import Conn, one
from db.feed import feed
from db.feed.messages import TYPES
from db.maintenance.invariants import violations
from db.runtime.errors import Conflict
from tests.support.feeding import Reader, begin, number_all, read, tables_of, wait_until_settled
from tests.support.lobbies import Lobby
from tests.support.theatre import (
    BALCONY,
    Theatre,
    another,
    build_evening,
    build_theatre,
    stage_every_state,
)
from tests.support.waiting import in_thread, wait_until
from tests.support.world import Sale, in_hours


@pytest.fixture
def sale(conn: Conn) -> Theatre:
    begin(conn)
    return build_evening(conn)


def types(sale: Theatre, after: int | None = None) -> list[str]:
    return [message["type"] for message in read(sale, after)]


def of_organisation(conn: Conn, bookings: dict[str, UUID]) -> Theatre:
    row = one(conn.execute("select * from events where id = (select min(id) from events)"))
    return Theatre(conn, row["id"], row["organisation_id"], row["plan_version_id"], 0)


def check_replay(sale: Theatre) -> Reader:
    """A reader that begins at the first message has the tables of the sale."""
    reader, tables = Reader().take(read(sale)), tables_of(sale)
    always_free = {guid: row for guid, row in tables["seats"].items() if guid not in reader.seats}
    assert {row[0] for row in always_free.values()} <= {"free"}
    for name, rows in tables.items():
        assert getattr(reader, name) | (always_free if name == "seats" else {}) == rows, name
    return reader


def test_a_sale_with_bookings_in_every_state_can_be_rebuilt_from_its_feed(conn: Conn) -> None:
    begin(conn)
    bookings = stage_every_state(conn)
    sale = of_organisation(conn, bookings)
    number_all(conn, 7)
    reader = check_replay(sale)
    states = {state for state, *_ in reader.bookings.values()}
    assert states >= {"held", "authorising", "expiring", "review", "secured", "confirmed", "frozen",
                      "expired", "cancelled"}  # fmt: skip
    assert reader.refunds and "void" in {state for _, state in reader.tickets.values()}
    assert violations(conn) == []


def test_the_ends_of_entries_and_seats_that_are_blocked_are_told(sale: Theatre) -> None:
    hall = build_theatre(sale.conn, {1: ["...."]})
    events.block_seats(hall.conn, hall.organisation, hall.event, ["seat-1", "seat-2"], block=True)
    events.block_seats(hall.conn, hall.organisation, hall.event, ["seat-1"], block=False)
    first, second = hall.enter(2), hall.enter(2)
    hall.drain()
    leaver = hall.enter(1)
    hall.conn.execute(
        """update entries set state = 'left', decided_at = now()
           where event_id = %s and number = %s""",
        [hall.event, leaver],
    )
    booking = hall.booking_of(first)
    hall.expire(booking)
    hall.serve()
    hall.enter(4)
    hall.confirm(hall.booking_of(second))
    hall.serve()
    number_all(hall.conn)
    told = set(types(hall))
    assert told >= {"seats.blocked", "seats.unblocked", "entry.left", "entry.standby",
                    "booking.expired", "booking.held", "booking.confirmed"}  # fmt: skip
    check_replay(hall)


def test_tickets_that_are_returned_one_by_one_are_told(sale: Theatre) -> None:
    booking = sale.hold("alice", 3)
    sale.confirm(booking)
    number_all(sale.conn)
    after = read(sale)[-1]["number"]
    query = """
        select outcome from request_refund(%s, null, %s, array(
            select id from tickets where booking_id = %s order by seat limit 1), null, true,
            'in words of a person', %s)"""
    done = sale.conn.execute(query, [sale.event, booking, booking, False]).fetchall()
    assert done == [{"outcome": "done"}]
    number_all(sale.conn)
    told = read(sale, after)
    assert [message["type"] for message in told] == ["booking.seats_returned", "refund.pending"]
    assert told[0]["data"]["seat_state"] == "blocked"
    sale.cancel(booking)
    number_all(sale.conn)
    assert read(sale)[-2]["type"] == "booking.cancelled" or "booking.cancelled" in types(sale)
    check_replay(sale)
    assert "in words of a person" not in str(read(sale))


def test_a_lobby_and_its_draw_are_told(hall: Sale, conn: Conn) -> None:
    begin(conn)
    lobby = Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), conn)
    assert lobby.announce().status_code == 200
    lobby.open()
    sale = Theatre(conn, lobby.sale.id, hall.opera.id, hall.plan["version_id"], 0)
    for account in range(1, 6):
        lobby.enter(account)
    number_all(conn)
    assert [message["data"]["number"] for message in read(sale)] == [None] * 5
    lobby.leave(3)
    lobby.draw()
    lobby.begin_sale()
    lobby.enter(6)
    number_all(conn)
    assert types(sale, 5) == ["entry.left", *["entry.numbered"] * 4, "entry.joined"]
    check_replay(sale)


def test_a_free_booking_is_told_as_confirmed_with_its_tickets(sale: Theatre) -> None:
    booking = sale.hold("alice", 2, BALCONY)
    number_all(sale.conn)
    assert types(sale) == ["entry.joined", "booking.confirmed"]
    seats = read(sale)[-1]["data"]["seats"]
    tickets = sale.conn.execute(
        "select id::text from tickets where booking_id = %s order by seat", [booking]
    ).fetchall()
    assert [seat["ticket_id"] for seat in seats] == [row["id"] for row in tickets]


def test_a_declined_payment_reopens_its_booking(sale: Theatre) -> None:
    booking = sale.hold("alice")
    sale.pay(booking)
    sale.record(booking, "failed", failure_code="card_declined")
    query = "select reopen_booking(event_id, id, payment_id) from bookings where id = %s"
    sale.conn.execute(query, [booking])
    number_all(sale.conn)
    assert types(sale)[-1] in ("booking.reopened", "payment.failed")
    assert "booking.held" in types(sale) and types(sale).count("booking.held") == 1


def test_names_and_addresses_are_never_told(sale: Theatre) -> None:
    sale.confirm(sale.hold("penelope"))
    number_all(sale.conn)
    assert read(sale) and "penelope" not in str(read(sale)).lower()
    told = {name for message in read(sale) for name in message["data"]}
    assert not told & {"buyer_id", "account_id", "name", "email", "address"}


# What commits late


@contextmanager
def held_open(sale: Theatre) -> Iterator[Conn]:
    """A transaction that began before others, and commits with the block."""
    with another(sale.conn) as late:
        late.execute("select pg_current_xact_id()")
        yield late


def test_what_commits_late_is_told_after_several_runs_of_the_job(sale: Theatre) -> None:
    """By a transaction that was open meanwhile: with numbers in the order of ids, a reader would be
    past it."""
    with held_open(sale) as late:
        number = sale.enter(1, buyer=10**6, conn=late)
        for name in ("alice", "bob"):
            sale.hold(name, category=BALCONY)
            assert feed.number_feed(sale.conn, 100).told == 0
            assert read(sale) == []
    number_all(sale.conn)
    joined = [message["data"]["number"] for message in read(sale)
              if message["type"] == "entry.joined"]  # fmt: skip
    assert sorted(joined) == [number, number + 1, number + 2]
    check_replay(sale)


def test_what_ended_before_is_told_beside_a_transaction_that_is_open(sale: Theatre) -> None:
    sale.hold("alice", category=BALCONY)
    wait_until_settled(sale.conn)
    with held_open(sale) as late:
        sale.hold("bob", category=BALCONY)
        wait_until(lambda: feed.number_feed(sale.conn, 100).told == 2, 60)
        late.rollback()
    number_all(sale.conn)
    assert types(sale) == ["entry.joined", "booking.confirmed"] * 2


def test_a_transaction_that_is_rolled_back_leaves_no_gap(sale: Theatre) -> None:
    with held_open(sale) as late:
        sale.enter(1, buyer=10**6, conn=late)
        late.rollback()
    sale.hold("alice", category=BALCONY)
    number_all(sale.conn)
    assert [message["number"] for message in read(sale)] == [1, 2]


def test_one_that_waited_for_another_is_told_after_it(sale: Theatre) -> None:
    """Its transaction is older; what it changed is later."""
    booking = sale.hold("alice")
    payment = sale.pay(booking)
    with another(sale.conn) as older, another(sale.conn) as younger:
        older.execute("select pg_current_xact_id()")
        younger.execute("update payments set state = 'unknown' where id = %s", [payment])

        def fail() -> None:
            older.execute("update payments set state = 'failed' where id = %s", [payment])
            older.commit()

        with in_thread(fail):
            query = "select cardinality(pg_blocking_pids(%s)) > 0 as waits"
            pid = older.info.backend_pid
            wait_until(lambda: one(sale.conn.execute(query, [pid]))["waits"])
            younger.commit()
    number_all(sale.conn, 1)
    moves = [message["type"] for message in read(sale) if message["type"].startswith("payment.")]
    assert moves == ["payment.intended", "payment.unknown", "payment.failed"]


# The job


def test_a_large_piece_is_told_in_slices(sale: Theatre) -> None:
    sale.enter_many(50)
    sale.conn.execute("update entries set state = 'left', decided_at = now() where number > 25")
    told = number_all(sale.conn, 10)
    assert sum(told) == 75
    assert len(told) > 5 and max(told) <= 25, told  # a note is told whole
    assert [message["number"] for message in read(sale)] == list(range(1, 76))
    check_replay(sale)


@pytest.mark.parametrize("statement", ["feed_messages", "feed_heads", "feed_progress"])
def test_a_run_that_dies_anywhere_has_told_nothing(sale: Theatre, statement: str) -> None:
    sale.enter_many(5)
    wait_until_settled(sale.conn)
    sale.conn.execute(
        f"""create function die() returns trigger language plpgsql as
            'begin raise exception ''it dies''; end';
            create trigger die after insert or update on {statement}
            for each statement execute function die()""".encode()
    )
    with pytest.raises(Exception, match="it dies"):
        feed.number_feed(sale.conn, 3)
    assert read(sale) == []
    sale.conn.execute(f"drop trigger die on {statement}; drop function die()".encode())
    number_all(sale.conn, 3)
    assert [message["number"] for message in read(sale)] == [1, 2, 3, 4, 5]


def test_two_jobs_at_once_tell_everything_once(sale: Theatre) -> None:
    sale.enter_many(20)
    wait_until_settled(sale.conn)
    with another(sale.conn) as other:
        assert feed.number_feed(other, 100).told == 20
        with in_thread(lambda: feed.number_feed(sale.conn, 100)):
            query = "select cardinality(pg_blocking_pids(%s)) > 0 as waits"
            pid = sale.conn.info.backend_pid
            wait_until(lambda: one(other.execute(query, [pid]))["waits"])
            other.commit()
    assert [message["number"] for message in read(sale)] == list(range(1, 21))


def test_nothing_new_costs_a_look_and_no_row(sale: Theatre) -> None:
    number_all(sale.conn)
    query = "select xmin::text, ctid::text from feed_progress"
    before = one(sale.conn.execute(query))
    sale.conn.execute("update feed_progress set told_until = clock_timestamp()")
    before = one(sale.conn.execute(query))
    for _ in range(3):
        assert feed.number_feed(sale.conn, 100) == feed.Numbered(0, False, False)
    assert one(sale.conn.execute(query)) == before


def test_a_database_that_was_restored_elsewhere_goes_on(sale: Theatre) -> None:
    """There transactions count anew, from a lower number."""
    sale.conn.execute(
        "update feed_progress set from_xid = 1::bigint << 60, to_xid = 1::bigint << 60"
    )
    assert feed.number_feed(sale.conn, 100).restarted
    sale.enter_many(2)
    number_all(sale.conn)
    assert types(sale) == ["entry.joined"] * 2


def test_a_booking_from_the_archive_is_no_news(sale: Theatre) -> None:
    sale.conn.execute("select set_config('usher.acting', 'archive', false)")
    sale.hold("alice", category=BALCONY)
    number_all(sale.conn)
    assert types(sale) == ["entry.joined"]


# Whose feed it is


def test_each_organisation_and_its_tests_have_numbers_of_their_own(conn: Conn) -> None:
    begin(conn)
    ours, theirs = build_evening(conn), build_evening(conn)
    conn.execute("insert into gateway_accounts (organisation_id, provider, mode) "
                 "select organisation_id, provider, 'test' from gateway_accounts where id = %s",
                 [theirs.gateway])  # fmt: skip
    conn.execute("update events set is_test = true where id = %s", [theirs.event])
    ours.enter_many(2)
    theirs.enter_many(3)
    number_all(conn)
    assert [message["number"] for message in read(ours)] == [1, 2]
    assert read(ours, is_test=True) == read(theirs) == []
    tests = read(theirs, is_test=True)
    assert [message["number"] for message in tests] == [1, 2, 3]
    assert {message["livemode"] for message in tests} == {False}
    assert {message["livemode"] for message in read(ours)} == {True}


# Cursors


def span_of(conflict: Conflict) -> tuple[Any, ...]:
    details = conflict.details
    return details["conflict_reason"], details["oldest"], details["last"]


def test_a_cursor_that_the_feed_has_not_reached_is_refused(sale: Theatre) -> None:
    sale.enter_many(2)
    number_all(sale.conn)
    assert read(sale, 2) == []
    with pytest.raises(Conflict) as refused:
        read(sale, 3)
    assert span_of(refused.value) == ("cursor_unknown", 1, 2)


def test_a_cursor_whose_next_messages_were_deleted_is_refused(sale: Theatre) -> None:
    sale.enter_many(4)
    number_all(sale.conn)
    sale.conn.execute("delete from feed_messages where number <= 2")
    with pytest.raises(Conflict) as refused:
        read(sale, 1)
    assert span_of(refused.value) == ("cursor_too_old", 3, 4)
    assert [message["number"] for message in read(sale)] == [3, 4]
    assert [message["number"] for message in read(sale, 2)] == [3, 4]
    sale.conn.execute("delete from feed_messages")
    with pytest.raises(Conflict) as refused:
        read(sale, 3)
    assert span_of(refused.value) == ("cursor_too_old", 5, 4)
    assert read(sale, 4) == []


def test_an_empty_feed_is_read_from_nothing(sale: Theatre) -> None:
    assert read(sale) == read(sale, 0) == []
    assert feed.get_span(sale.conn, sale.organisation, is_test=False) == {"oldest": 1, "last": 0}


def test_the_catalogue_has_each_state_that_can_be_told(conn: Conn) -> None:
    moves = conn.execute("select noun, old_state, new_state from legal_moves").fetchall()
    states = {
        (row["noun"], state) for row in moves for state in (row["old_state"], row["new_state"])
    }
    named = {f"{noun}.{state}" for noun, state in states if noun != "seat"}
    own = {"entry.joined", "entry.numbered", "booking.reopened", "booking.unfrozen",
           "booking.seats_returned", "seats.blocked", "seats.unblocked"}  # fmt: skip
    assert named - {"entry.lobby", "entry.booked"} | own == set(TYPES)


def test_entries_of_a_large_note_are_split(sale: Theatre) -> None:
    sale.enter_many(2100)
    sale.conn.execute("update entries set state = 'left', decided_at = now()")
    sizes = sale.conn.execute("select cardinality(ids) as n from feed_notes order by id").fetchall()
    assert [row["n"] for row in sizes] == [1000, 1000, 100]
