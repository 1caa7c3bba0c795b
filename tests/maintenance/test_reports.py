"""Reports say what a staged sale contains, through psql and through the API's function alike."""

import json
import os
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from db.connections import Conn
from db.maintenance.reports import FOLDER, report_names, run_report
from db.runtime.errors import NotFound
from ops.local.servers import PACKAGE
from tests.support.theatre import build_evening

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
    assert revenue["tax"] == 6 * 838  # 19 of 119 parts of 52.50
    assert (revenue["captured"], revenue["refunds"], revenue["net"]) == (31500, 10500, 21000)


def test_occupancy_counts_every_seat_once(conn: Conn, every_state: dict[str, UUID]) -> None:
    stalls, balcony = rows(conn, "occupancy")
    assert (stalls["zone"], stalls["category"], stalls["seats"]) == ("Stalls", "Stalls", 60)
    # Held: held, authorising, action, expiring, review, secured. Sold: confirmed, frozen.
    assert (stalls["free"], stalls["held"], stalls["sold"]) == (44, 12, 4)
    assert stalls["sold_percent"] == pytest.approx(6.7)
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
        "hour": "2026-02-01 00:00",  # in Berlin
        "category": "Stalls",
        "bookings": 1,
        "seats": 2,
        "amount": 10500,
        "currency": "EUR",
    }


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
