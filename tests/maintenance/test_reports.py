"""Reports say what a staged sale contains, through psql and through the API's function alike."""

import json
import os
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from db.connections import Conn, one
from db.maintenance.reports import FOLDER, report_names, run_report
from db.runtime.errors import NotFound
from ops.local.servers import PACKAGE
from tests.support.theatre import Theatre, build_evening

PSQL = PACKAGE / "pginstall" / "bin" / "psql"


def rows(conn: Conn, name: str) -> list[dict[str, Any]]:
    return run_report(conn, name, 1)[1]


def test_revenue_counts_what_was_sold_and_what_was_given_back(
    conn: Conn, every_state: dict[str, UUID]
) -> None:
    [revenue] = rows(conn, "revenue")
    # Confirmed, frozen, cancelled: 2 seats of 52.50 each; the free booking adds its seats.
    assert revenue["currency"] == "EUR"
    assert (revenue["bookings"], revenue["seats"]) == (4, 8)
    assert (revenue["gross"], revenue["fees"]) == (6 * 5250, 6 * 250)
    assert (revenue["captured"], revenue["refunds"], revenue["total"]) == (31500, 10500, 21000)
    assert revenue["tax"] == 4 * 838  # 19 of 119 parts of 52.50
    assert revenue["net"] == 21000 - 4 * 838


def test_occupancy_counts_every_seat_once(conn: Conn, every_state: dict[str, UUID]) -> None:
    stalls, balcony = rows(conn, "occupancy")
    assert (stalls["zone"], stalls["category"], stalls["seats"]) == ("Stalls", "Stalls", 60)
    # Held: held, authorising, action, expiring, review, secured. Sold: confirmed, frozen.
    assert (stalls["free"], stalls["held"], stalls["sold"]) == (44, 12, 4)
    assert stalls["sold_percent"] == pytest.approx(6.7)
    assert (stalls["area"], balcony["area"]) == (1, 1)
    assert (balcony["seats"], balcony["free"], balcony["sold"]) == (60, 58, 2)


def test_sales_are_by_hour_of_the_event_and_category(
    conn: Conn, every_state: dict[str, UUID]
) -> None:
    conn.execute(
        "update bookings set confirmed_at = '2026-01-31 23:30+00' where id = %s",
        [every_state["confirmed"]],
    )
    first = rows(conn, "sales")[0]
    assert first == {
        "hour": "2026-02-01 00:00+01:00",  # in Berlin
        "category": "Stalls",
        "price_type": 1,
        "area": 1,
        "bookings": 1,
        "seats": 2,
        "captured": 10500,
        "refunds": 0,
        "amount": 10500,
        "currency": "EUR",
    }


@pytest.mark.faults("F16")
@pytest.mark.parametrize(
    ("zone", "times", "hours"),
    [
        ("Europe/Berlin", ("2027-10-31 00:30+00", "2027-10-31 01:30+00"),
         ["2027-10-31 02:00+02:00", "2027-10-31 02:00+01:00"]),
        ("America/St_Johns", ("2027-11-07 03:45+00", "2027-11-07 04:45+00"),
         ["2027-11-07 01:00-02:30", "2027-11-07 01:00-03:30"]),
        ("Asia/Kolkata", ("2027-10-31 00:29+00", "2027-10-31 00:31+00"),
         ["2027-10-31 05:00+05:30", "2027-10-31 06:00+05:30"]),
        ("UTC", ("2027-10-31 00:30+00", "2027-10-31 01:30+00"),
         ["2027-10-31 00:00+00:00", "2027-10-31 01:00+00:00"]),
    ],
)  # fmt: skip
def test_the_hour_that_comes_twice_has_two_rows(
    conn: Conn, zone: str, times: tuple[str, str], hours: list[str]
) -> None:
    theatre = build_evening(conn)
    theatre.set_event(time_zone=zone)
    for name, at in zip(("alice", "bob"), times, strict=True):
        booking = theatre.hold(name)
        theatre.confirm(booking)
        conn.execute("update bookings set confirmed_at = %s where id = %s", [at, booking])
    sales = rows(conn, "sales")
    assert [(row["hour"], row["bookings"]) for row in sales] == [(hour, 1) for hour in hours]


def refund(theatre: Theatre, booking: UUID, tickets: int | None, amount: int | None) -> None:
    """As an organiser: so many tickets, or an amount, or both."""
    query = """
        select outcome from request_refund(%(event)s, null, %(booking)s, case when %(tickets)s > 0
            then array(select id from tickets where booking_id = %(booking)s and state = 'valid'
                       order by seat limit %(tickets)s) end,
            %(amount)s, true, 'asked', true)"""
    values = {"event": theatre.event, "booking": booking, "tickets": tickets, "amount": amount}
    assert one(theatre.conn.execute(query, values))["outcome"] == "done"


@pytest.mark.faults("F10")
@pytest.mark.parametrize(
    ("tickets", "amount", "left", "tax", "seats"),
    [
        (None, None, 0, 0, 0),
        (None, 10500, 0, 0, 2),  # all the money, and the tickets stay
        (1, None, 5250, 838, 1),
        (1, 2000, 8500, 1357, 1),  # 1,676 of 10,500 in proportion
        (None, 300, 10200, 1628, 2),
    ],
)
def test_sales_and_revenue_agree_with_the_money(
    conn: Conn, tickets: int | None, amount: int | None, left: int, tax: int, seats: int
) -> None:
    theatre = build_evening(conn)
    booking = theatre.hold("alice")
    theatre.confirm(booking)
    refund(theatre, booking, tickets, amount)
    [revenue], sales = rows(conn, "revenue"), rows(conn, "sales")
    assert (revenue["total"], revenue["tax"], revenue["net"]) == (left, tax, left - tax)
    assert sum(row["captured"] for row in sales) == revenue["captured"] == 10500
    assert sum(row["refunds"] for row in sales) == revenue["refunds"] == 10500 - left
    assert sum(row["amount"] for row in sales) == revenue["total"]
    assert sum(row["seats"] for row in sales) == seats


@pytest.mark.faults("F10")
def test_money_without_a_ticket_has_lines_of_its_own(conn: Conn) -> None:
    """A booking's fee, an amount returned, a dispute lost, and a payment that came too late."""
    theatre = build_evening(conn)
    theatre.set_event(booking_fee=150, booking_fee_tax_rate=0.07)
    fee, part, lost, late = (theatre.hold(name) for name in ("alice", "bob", "charlie", "dora"))
    for booking in (fee, part, lost):
        theatre.confirm(booking)
    refund(theatre, part, None, 50)
    theatre.dispute(lost)
    conn.execute("""select record_dispute(event_id, id, 'du_1', 'lost', 'fraudulent', amount,
        currency, null) from payments where booking_id = %s""", [lost])  # fmt: skip
    theatre.authorise(late)
    theatre.release(late)
    theatre.record(late, "failed", 10650)
    found = {row["category"]: row["amount"] for row in rows(conn, "sales")}
    assert found == {
        "Stalls": 31500,
        "(booking fees)": 450,
        "(amounts returned)": -50,
        "(disputes lost)": -10650,
        "(unexpected payments)": 10650,
    }
    [revenue] = rows(conn, "revenue")
    assert (revenue["refunds"], revenue["disputes"]) == (50, 10650)
    assert revenue["total"] == sum(found.values())


def test_waits_are_percentiles_by_outcome(conn: Conn, every_state: dict[str, UUID]) -> None:
    conn.execute(
        "update entries set joined_at = decided_at - number * interval '1 s'"
        " where decided_at is not null"
    )
    [told] = rows(conn, "waits")
    assert (told["state"], told["entries"]) == ("booked", 11)  # numbers 1 to 11; 12 still waits
    assert (told["p50_s"], told["longest_s"]) == (6, 11)


@pytest.mark.processes
@pytest.mark.parametrize("name", report_names())
def test_psql_runs_the_same_file(
    conn: Conn, database_url: str, name: str, every_state: dict[str, UUID]
) -> None:
    answer = subprocess.run(
        [PSQL, "--csv", "-v", "event_id=1", "-f", FOLDER / f"{name}.sql", database_url],
        capture_output=True,
        text=True,
        env={**os.environ, "PSQLRC": "/dev/null"},
        check=True,
    )
    assert answer.stderr == ""
    columns, found = run_report(conn, name, 1)
    header, *lines = answer.stdout.splitlines()
    assert header.split(",") == columns
    assert len(lines) == len(found) > 0


@pytest.mark.parametrize("name", report_names())
def test_rows_are_json_and_belong_to_one_event(
    conn: Conn, name: str, every_state: dict[str, UUID]
) -> None:
    other = build_evening(conn).event
    columns, found = run_report(conn, name, 1)
    assert list(json.loads(json.dumps(found))[0]) == columns
    assert found != run_report(conn, name, other)[1]


def test_an_unknown_report_is_not_found(conn: Conn) -> None:
    with pytest.raises(NotFound, match="revenue"):
        run_report(conn, "../invariants", 1)


@pytest.mark.processes
def test_the_command_prints_every_report_of_every_event(
    conn: Conn, database_url: str, every_state: dict[str, UUID]
) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://nobody",
        "SECRET_KEY": "x" * 32,
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "SMTP_URL": "smtp://nobody",
    }
    answer = subprocess.run(
        [sys.executable, "-m", "ops.console.reports"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert answer.returncode == 0, answer.stderr
    assert all(f"\n{name}\n" in answer.stdout for name in report_names())
    assert "Evening (event 1, on_sale)" in answer.stdout
    assert "31,500" in answer.stdout
