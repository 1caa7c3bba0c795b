"""200 buyers race for 50 seats over HTTP, against every process as it runs in production."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from db.maintenance.invariants import violations
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.local.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

BUYERS, SEATS = 200, 50
FORMATION = {"web": 1, "relay": 2, "clock": 1, "worker": 2, "mailer": 1}


def hall_of_fifty(folder: Path) -> Path:
    """Five rows of ten, in one category."""
    rows = [
        {
            "row_number": str(row),
            "seats": [
                {
                    "seat_guid": f"{row}-{seat}",
                    "seat_number": str(seat),
                    "category": "All",
                    "position": {"x": 20 * seat, "y": 20 * row},
                }
                for seat in range(1, 11)
            ],
        }
        for row in range(1, 6)
    ]
    zone = {"name": "Hall", "position": {"x": 0, "y": 0}, "rows": rows}
    plan = {"name": "Fifty", "categories": [{"name": "All"}], "zones": [zone]}
    path = folder / "fifty.json"
    path.write_text(json.dumps(plan))
    return path


class Racer:
    """One buyer, over HTTP only."""

    def __init__(self, web_url: str, event_id: int, n: int) -> None:
        self.session = requests.Session()
        self.queue = f"{web_url}/v1/events/{event_id}/queue"
        body = {"email": f"racer{n}@usher.example", "name": f"Racer {n}"}
        token = self.session.post(f"{web_url}/v1/accounts", json=body, timeout=30).json()["token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        # Every other one wants a seat by name, which others want, too.
        self.wish: dict[str, Any] = {"quantity": 1}
        if n % 2:
            self.wish = {"seats": [f"{n % 5 + 1}-{n % 4 + 1}"]}

    def join(self) -> str:
        headers = {"Idempotency-Key": "once"}
        answer = self.session.post(self.queue, json=self.wish, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def look(self, entry_id: str) -> str:
        return str(self.session.get(f"{self.queue}/{entry_id}", timeout=30).json()["state"])


def test_200_buyers_race_for_50_seats(tmp_path: Path) -> None:
    with Stack(tmp_path / "var", FORMATION, say=lambda _: None) as stack:
        key = new_api_key(stack.database_url)
        event_id = put_on_sale(stack.web_url, key, hall_of_fifty(tmp_path), free=True)
        with ThreadPoolExecutor(32) as threads:
            racers = list(threads.map(lambda n: Racer(stack.web_url, event_id, n), range(BUYERS)))
            entries = list(threads.map(Racer.join, racers))

            def told() -> Counter[str]:
                return Counter(threads.map(Racer.look, racers, entries))

            wait_until(lambda: told().keys() <= {"booked", "unavailable"}, timeout=30)
            assert told() == {"booked": SEATS, "unavailable": BUYERS - SEATS}
        with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as conn:
            tickets = conn.execute("SELECT seat FROM tickets WHERE state = 'valid'").fetchall()
            assert len({row["seat"] for row in tickets}) == len(tickets) == SEATS
            assert violations(conn) == []
