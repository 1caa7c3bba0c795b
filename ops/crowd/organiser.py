"""The organiser's part: a key, and an event on sale, through the public API."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from db.accounts.api_keys import EVERYTHING, add_key, add_organisation

Json = dict[str, Any]

TIME_ZONE = "Europe/Berlin"
DEAREST = 9900
STEP_DOWN = 0.8
CHEAPEST = 900
FEE = 250
BOOKING_FEE = 150
TAX_RATE = 0.07
BOOKING_FEE_TAX_RATE = 0.19
TIMEOUT_S = 120


def new_api_key(database_url: str) -> str:
    """Add an organisation and return an organiser's key for it."""
    with psycopg.connect(database_url, row_factory=dict_row) as conn:
        organisation = add_organisation(conn, "Usher's demo")
        return add_key(conn, "organiser", "demo", organisation, EVERYTHING)


def put_on_sale(
    web_url: str,
    api_key: str,
    plan_path: Path,
    *,
    free: bool = False,
    on_sale_in_s: float = 0,
    hold_seconds: int = 600,
    in_flight_cap: int | None = None,
    gated: bool = True,
    currency: str = "EUR",
) -> int:
    """Put a seating plan on sale as an event; return the event's id. `free`: all seats cost
    nothing. `in_flight_cap`: how many bookings may be unpaid at once. `gated`: queue only.

    Errors: requests.HTTPError with the API's problem, for example about a bad plan.
    """
    organiser = Organiser(web_url, api_key)
    venue = organiser.post(
        "/v1/venues", {"name": plan_path.stem.title(), "city": "Berlin", "time_zone": TIME_ZONE}
    )
    plan = organiser.import_plan(venue["id"], plan_path.read_bytes())
    evening = an_evening(venue, plan, datetime.now(UTC) + timedelta(seconds=on_sale_in_s))
    event = organiser.post(
        "/v1/events",
        evening
        | {
            "currency": currency,
            "booking_fee": BOOKING_FEE,
            "booking_fee_tax_rate": BOOKING_FEE_TAX_RATE,
            "hold_seconds": hold_seconds,
            "gated": gated,
            "categories": prices(plan["categories"], free),
        },
    )
    organiser.post(f"/v1/events/{event['id']}/open", {})
    if in_flight_cap:
        organiser.patch(f"/v1/events/{event['id']}/lane", {"in_flight_cap": in_flight_cap})
    return int(event["id"])


def an_evening(venue: Json, plan: Json, opening: datetime) -> Json:
    """An event that is on sale from a time on, until a day before; without its prices."""
    return {
        "name": f"An evening at {plan['name'] or venue['name']}"[:200],
        "venue_id": venue["id"],
        "plan_version_id": plan["version_id"],
        "starts_at": (opening + timedelta(days=60)).isoformat(),
        "on_sale_at": opening.isoformat(),
        "off_sale_at": (opening + timedelta(days=59)).isoformat(),
        "currency": "EUR",
        "seats_per_buyer": 8,
        "hold_seconds": 600,
    }


def prices(categories: list[dict[str, Any]], free: bool) -> list[dict[str, Any]]:
    """Prices for a plan's categories: the first is the dearest, each further one costs less."""
    if free:
        return [{"category": category["category"], "price": 0} for category in categories]
    return [
        {
            "category": category["category"],
            "price": max(CHEAPEST, round(DEAREST * STEP_DOWN**place / 50) * 50),
            "fee": FEE,
            "tax_rate": TAX_RATE,
        }
        for place, category in enumerate(categories)
    ]


class Organiser:
    """A client of the API, as an organiser's server would be."""

    def __init__(self, web_url: str, api_key: str) -> None:
        self.web_url, self.api_key = web_url, api_key
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {api_key}"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._checked(self.http.post(self.web_url + path, json=body, timeout=TIMEOUT_S))

    def import_plan(self, venue_id: int, content: bytes) -> dict[str, Any]:
        """Import a plan and return its first version; a large one is read in the background."""
        answer = self.post_bytes(f"/v1/venues/{venue_id}/plans", content)
        if "poll_after_s" not in answer:
            return answer
        ended = self.follow_import(answer)
        if ended["problem"]:
            raise requests.HTTPError(f"{ended['links']['self']}: {ended['problem']}")
        version: dict[str, Any] = ended["version"]
        return version

    def follow_import(self, started: dict[str, Any]) -> dict[str, Any]:
        """Read an import until it has ended. Errors: TimeoutError."""
        read, end = started, time.monotonic() + TIMEOUT_S
        while read["poll_after_s"] is not None:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{read['links']['self']} is {read['state']}: does a keeper run?"
                )
            time.sleep(read["poll_after_s"])
            read = self.get(read["links"]["self"])
        return read

    def get(self, path: str) -> dict[str, Any]:
        return self._checked(self.http.get(self.web_url + path, timeout=TIMEOUT_S))

    def post_bytes(self, path: str, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        answer = self.http.post(self.web_url + path, data=body, headers=headers, timeout=TIMEOUT_S)
        return self._checked(answer)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._checked(self.http.patch(self.web_url + path, json=body, timeout=TIMEOUT_S))

    def _checked(self, answer: requests.Response) -> dict[str, Any]:
        if not answer.ok:
            message = f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
            raise requests.HTTPError(message, response=answer)
        body: dict[str, Any] = answer.json()
        return body
