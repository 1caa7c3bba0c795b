"""Receipts: one for each paid booking, credit notes for what went back, numbers without a gap."""

from typing import Any

import psycopg
import pytest
from psycopg.errors import ForeignKeyViolation, RaiseException, UniqueViolation
from psycopg.rows import dict_row

from db.connections import Conn
from db.maintenance.invariants import violations
from db.payments import payments, receipts
from tests.support.paying import BOOKING_FEE, PRICE, TOTAL, confirmed, with_fee
from tests.support.refunding import ask, cancel, carry_out, failed, is_over, settle, tickets, told
from tests.support.running import Running
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale

ALL = "select * from receipts order by organisation_id, number"


def documents(conn: Conn) -> list[dict[str, Any]]:
    return conn.execute(ALL).fetchall()


def taxes(document: dict[str, Any]) -> list[tuple[float, int, int]]:
    return [(part["rate"], part["total"], part["tax"]) for part in document["breakdown"]["taxes"]]


def number_all(running: Running) -> list[dict[str, Any]]:
    """By the task, as the clock would have it done."""
    receipts.wake(running.conn)
    with running.work():
        wait_until(lambda: not running.tasks("number_receipts"))
    return documents(running.conn)


def test_a_paid_booking_gets_one(running: Running) -> None:
    booking = confirmed(with_fee(running))
    assert documents(running.conn) == [], "confirming numbers nothing"
    [receipt] = number_all(running)
    assert (receipt["number"], receipt["kind"], receipt["booking_id"]) == (1, "receipt", booking)
    assert (receipt["total"], receipt["currency"]) == (TOTAL, "EUR")
    assert taxes(receipt) == [(0.07, BOOKING_FEE, 10), (0.19, 10_500, 1_676)]
    breakdown = receipt["breakdown"]
    assert (breakdown["seller"], breakdown["event"]) == ("Usher Theatre", "Evening")
    assert breakdown["booking"] == running.booking(booking)["code"]
    ticket, _, fee = breakdown["lines"]
    assert (ticket["zone"], ticket["price"], ticket["fee"], ticket["tax"]) == (
        "Stalls", 5000, 250, 838,
    )  # fmt: skip
    assert (ticket["price_type"], ticket["area"]) == (1, 1)
    assert (fee["what"], fee["total"], fee["tax"]) == ("booking_fee", BOOKING_FEE, 10)
    assert "area" not in fee
    assert "alice" not in str(breakdown)
    running.check()


def test_what_costs_nothing_gets_none(running: Running) -> None:
    running.sale.hold("alice", category=2)
    assert number_all(running) == []
    running.check()


def test_confirming_waits_for_no_number(running: Running, database_url: str) -> None:
    """Somebody is numbering, and does not come to an end."""
    first, second = (running.sale.hold(name) for name in ("alice", "bob"))
    running.sale.confirm(first)
    with (
        psycopg.connect(database_url, row_factory=dict_row) as slow,
        running.work(),
    ):
        slow.execute("select number_receipts(organisation_id, 500) from events")
        running.pay(second)
        running.wait_for(second, "confirmed")
    assert [row["booking_id"] for row in number_all(running)] == [first, second]
    running.check()


def test_in_the_order_of_confirmation_and_batch_by_batch(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import receipts as task

    monkeypatch.setattr(task, "BATCH", 2)
    names = [f"buyer{n}" for n in range(5)]
    bookings = [running.sale.hold(name) for name in names]
    bookings.reverse()
    for booking in bookings:
        running.sale.confirm(booking)
    found = number_all(running)
    assert [row["booking_id"] for row in found] == bookings
    assert [row["number"] for row in found] == [1, 2, 3, 4, 5]
    running.check()


def test_each_organisation_counts_by_itself(running: Running) -> None:
    sales = [running.sale, build_evening(running.conn), running.sale]
    for n, sale in enumerate(sales):
        sale.confirm(sale.hold(f"buyer{n}"))
    assert [row["number"] for row in number_all(running)] == [1, 2, 1]
    running.check()


def test_two_who_number_at_once_make_no_gap(conn: Conn, database_url: str) -> None:
    sale = build_evening(conn)
    for n in range(4):
        sale.confirm(sale.hold(f"buyer{n}"))
    query = "select number_receipts(organisation_id, 2) as numbered from events"
    with psycopg.connect(database_url) as other:
        other.execute(query)
        conn.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute(query)
        other.rollback()
    conn.execute(query)
    assert [row["number"] for row in documents(conn)] == [1, 2]
    assert violations(conn) == []


def numbered(conn: Conn, bookings: int = 2) -> Theatre:
    sale = build_evening(conn)
    for n in range(bookings):
        sale.confirm(sale.hold(f"buyer{n}"))
    sale.number_receipts()
    return sale


@pytest.mark.parametrize("statement", ["update receipts set total = 1", "delete from receipts"])
def test_nobody_changes_them(conn: Conn, statement: str) -> None:
    numbered(conn)
    with pytest.raises(RaiseException, match="append-only"):
        conn.execute(statement.encode())


COPY = """
    insert into receipts (organisation_id, number, occasion, event_id, booking_id, currency, total,
        breakdown)
    select organisation_id, %s, occasion, event_id, %s, currency, total, breakdown from receipts
    where number = 1"""


def test_constraints_refuse_gaps_and_second_receipts(conn: Conn) -> None:
    sale = numbered(conn)
    booking = sale.hold("late")
    with pytest.raises(ForeignKeyViolation, match="previous"):
        conn.execute(COPY, [4, booking])
    with pytest.raises(UniqueViolation, match="pkey"):
        conn.execute(COPY, [2, booking])
    with pytest.raises(UniqueViolation, match="one_per_booking"):
        conn.execute(COPY, [3, documents(conn)[0]["booking_id"]])
    conn.execute(COPY, [3, booking])


def test_a_refund_is_credited(running: Running) -> None:
    booking = confirmed(with_fee(running))
    first, second = tickets(running, booking)
    carry_out(running, ask(running, booking, tickets=[first])["id"])
    carry_out(running, ask(running, booking, tickets=[second])["id"])
    receipt, one, last = number_all(running)
    assert [row["kind"] for row in (receipt, one, last)] == [
        "receipt",
        "credit_note",
        "credit_note",
    ]
    assert (one["corrects"], last["corrects"]) == (1, 1)
    assert (one["total"], taxes(one)) == (-5250, [(0.19, -5250, -838)])
    assert taxes(last) == [(0.07, -BOOKING_FEE, -10), (0.19, -5250, -838)]
    (line,) = one["breakdown"]["lines"]
    assert (line["zone"], line["total"]) == ("Stalls", -5250)
    assert sum(row["total"] for row in (receipt, one, last)) == 0
    running.check()


def test_amounts_alone_are_spread_and_never_lose_a_cent_of_tax(running: Running) -> None:
    booking = confirmed(with_fee(running))
    for amount in (3333, 3333, TOTAL - 6666):
        carry_out(running, ask(running, booking, amount=amount)["id"])
    receipt, *notes = number_all(running)
    assert [note["total"] for note in notes] == [-3333, -3333, 6666 - TOTAL]
    assert taxes(notes[0]) == [(0.07, -47, -3), (0.19, -3286, -525)]
    for rate, total, tax in taxes(receipt):
        parts = [part for note in notes for part in taxes(note) if part[0] == rate]
        assert (sum(part[1] for part in parts), sum(part[2] for part in parts)) == (-total, -tax)
    running.check()


def test_after_an_amount_a_ticket_is_credited_as_far_as_it_goes(running: Running) -> None:
    booking = confirmed(with_fee(running))
    carry_out(running, ask(running, booking, amount=TOTAL - 1000)["id"])
    carry_out(running, ask(running, booking)["id"])
    assert [row["total"] for row in number_all(running)] == [TOTAL, 1000 - TOTAL, -1000]
    running.check()


@pytest.mark.parametrize("cancelled", [True, False])
def test_lines_are_no_more_than_what_went_back(running: Running, cancelled: bool) -> None:
    """Some was given back before, or less than the tickets cost."""
    booking = confirmed(running)
    carry_out(running, ask(running, booking, amount=10_500 - 1_001)["id"])
    if cancelled:
        cancel(running)
        with running.work():
            wait_until(lambda: is_over(running))
    else:
        asked = {"tickets": tickets(running, booking), "amount": 1_001}
        carry_out(running, ask(running, booking, **asked)["id"])
    *_, note = number_all(running)
    assert (note["total"], taxes(note)) == (-1_001, [(0.19, -1_001, -160)])
    assert [line["total"] for line in note["breakdown"]["lines"]] == [-501, -500]
    assert {line["price_type"] for line in note["breakdown"]["lines"]} == {1}
    running.check()


def test_a_refund_that_fails_after_all_is_reversed_and_tried_anew(running: Running) -> None:
    booking = confirmed(running)
    answer = ask(running, booking, amount=1000)
    carry_out(running, answer["id"])
    (made,) = running.conn.execute("select gateway_ref from refunds").fetchall()
    running.sandbox.settle_refund(made["gateway_ref"], "failed")
    told(running, answer["id"], "failed")
    carry_out(running, answer["id"], "failed")
    carry_out(running, settle(running, booking, answer["id"])["id"])
    receipt, note, reversal, anew = number_all(running)
    assert (reversal["kind"], reversal["corrects"]) == ("reversal", note["number"])
    assert (reversal["total"], taxes(reversal)) == (1000, [(0.19, 1000, 160)])
    assert (anew["total"], anew["corrects"]) == (-1000, receipt["number"])
    running.check()


def test_a_refund_that_was_paid_otherwise_is_credited(running: Running) -> None:
    booking, refund = failed(running)
    assert [row["kind"] for row in number_all(running)] == ["receipt"]
    settle(running, booking, refund, "by bank transfer")
    assert [row["total"] for row in number_all(running)] == [10_500, -10_500]
    running.check()


def test_what_was_given_back_twice_is_credited_without_tax(running: Running) -> None:
    """It failed, was given back by another refund, and then also by hand."""
    booking, refund = failed(running)
    carry_out(running, ask(running, booking, amount=10_500)["id"])
    settle(running, booking, refund, "in cash")
    *_, last = number_all(running)
    assert taxes(last) == [(0, -10_500, 0)]
    running.check()


def test_a_refund_that_succeeded_before_we_knew_is_credited(running: Running) -> None:
    """Made at the gateway's dashboard."""
    booking = confirmed(running)
    running.conn.execute(
        "insert into refunds (payment_id, event_id, booking_id, amount, currency, reason, state,"
        " gateway_ref) select id, event_id, booking_id, 1000, currency, 'asked', 'succeeded',"
        " 're_x'"
        " from payments where booking_id = %s",
        [booking],
    )
    assert [row["total"] for row in number_all(running)] == [10_500, -1000]
    running.check()


def test_money_that_was_never_the_bookings_has_no_document(running: Running) -> None:
    """Late money goes back by itself: nobody bought anything."""
    booking = running.sale.hold("alice")
    running.sale.secure(booking)
    progress = running.sale.record(booking, "failed", captured=PRICE)
    assert payments.end_booking(running.conn, progress, "failed", "wrong_money")
    running.conn.execute("delete from outbox")
    payments.refund_unexpected(running.conn, progress, "wrong_money")
    running.conn.execute("update refunds set state = 'succeeded', gateway_ref = 're_1'")
    assert number_all(running) == []


def test_the_clock_wakes_only_whom_nobody_works_for(conn: Conn) -> None:
    sale = build_evening(conn)
    assert receipts.wake(conn) == 0
    sale.confirm(sale.hold("alice"))
    other = build_evening(conn)
    other.confirm(other.hold("bob"))
    assert receipts.wake(conn) == 2
    assert receipts.wake(conn) == 0


# Who may read them


def read(buyer: Caller, sale: Sale, booking: dict[str, Any]) -> Any:
    return buyer.get(f"{sale.path}/bookings/{booking['id']}/receipts")


def test_buyers_read_their_own(
    tosca: Sale,
    alice: Caller,
    bob: Caller,
    paid: dict[str, Any],
    conn: Conn,
) -> None:
    assert read(alice, tosca, paid).json == []
    conn.execute("select number_receipts(%s, 10)", [tosca.opera.id])
    (receipt,) = read(alice, tosca, paid).json
    assert (receipt["number"], receipt["seller"], receipt["total"]) == (1, "Opera", 19_000)
    assert receipt["booking"] == paid["code"]
    assert [line["total"] for line in receipt["lines"]] == [9_500, 9_500]
    assert receipt["net"] + receipt["tax"] == receipt["total"]
    assert read(bob, tosca, paid).status_code == 404


def test_organisers_list_what_they_issued(
    tosca: Sale,
    circus: Caller,
    operator: Caller,
    conn: Conn,
    paid: dict[str, Any],
) -> None:
    asked = {"amount": 1000, "reason": "ill"}
    path = f"{tosca.path}/bookings/{paid['id']}/refunds"
    assert tosca.opera.post(path, asked, key="key").status_code == 201
    conn.execute("update refunds set state = 'succeeded', gateway_ref = 're_1'")
    conn.execute("select number_receipts(%s, 10)", [tosca.opera.id])
    first = tosca.opera.get("/v1/receipts?limit=1")
    assert [row["kind"] for row in first.json] == ["receipt"]
    following = first.headers["Link"].split(">")[0].removeprefix("<")
    (note,) = tosca.opera.get(following).json
    assert (note["kind"], note["total"], note["corrects"]) == ("credit_note", -1000, 1)
    assert note["reason"] == "ill"
    assert tosca.opera.get(f"/v1/receipts?event_id={tosca.id + 1}").json == []
    assert circus.get("/v1/receipts").json == []
    assert circus.get(f"/v1/receipts?organisation_id={tosca.opera.id}").json == []
    assert operator.get("/v1/receipts").status_code == 422
    mine = operator.get(f"/v1/receipts?organisation_id={tosca.opera.id}&event_id={tosca.id}")
    assert len(mine.json) == 2
