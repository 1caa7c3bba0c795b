"""web.event, web.availability, web.chart, web.position, web.entry and web.booking: what a crowd
reads all the time, over HTTP.

References are routes of the same minimal app as in queue.join: the same bytes where the answer is
the same for all or is computed, one SELECT by a key where it is a row of its buyer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import requests

from db.connections import one
from db.queue import lanes
from ops.bench import events
from ops.bench.crowds import Crowds
from ops.bench.events import Event
from ops.bench.measure import Row, compare
from ops.bench.queue_http import loading
from web.support.sessions import Session, make_token

SEATS = 400
"""Of the chart."""

PLAN = """
WITH categories AS (
    INSERT INTO plan_categories (plan_version_id, category, name, color)
    SELECT 1, n, n::text, '#777777' FROM generate_series(1, 4) n
    ON CONFLICT DO NOTHING
)
INSERT INTO plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion,
    restricted, general_admission, zone, row_label, number, x, y)
SELECT 1, r * 21 + n, r || '-' || n, 1 + r * 4 / %(rows)s, n - 11, false, false, false, false,
    'Floor', r::text, n::text, n * 20, r * 20
FROM generate_series(0, %(rows)s - 1) r, generate_series(1, 20) n
ON CONFLICT DO NOTHING
"""
BOOKING = "SELECT id, buyer_id FROM bookings WHERE event_id = %s"
ENTRY = "SELECT id, buyer_id FROM entries WHERE event_id = %s AND state = 'waiting' LIMIT 1"
ROW = "INSERT INTO bare_rows (quantity, token) VALUES (2, %s) RETURNING id"


@dataclass(frozen=True)
class Page:
    """A path, and the token with which it is read."""

    path: str
    token: str

    def read(self, url: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.get(url + self.path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer


def booked(crowds: Crowds) -> tuple[Event, Page]:
    """An event with a chart and one booking, which is held, and the booking's page."""
    crowds.conn.execute(PLAN, {"rows": SEATS // events.SEATS_A_ROW})
    event = events.add_event(crowds.conn, SEATS)
    events.add_entries(crowds.conn, event, 1)
    with crowds.conn.transaction():
        lock = "SELECT FROM lane_state WHERE event_id = %s FOR UPDATE"
        crowds.conn.execute(lock, [event.id])
        lanes.drain(crowds.conn, event.id, 10)
    found = one(crowds.conn.execute(BOOKING, [event.id]))
    path = f"/v1/events/{event.id}/bookings/{found['id']}"
    return event, page_of(crowds, path, found["buyer_id"])


def page_of(crowds: Crowds, path: str, buyer: int = 1) -> Page:
    stack = crowds.stack
    with events.configured(stack.database_url, stack.env["SECRET_KEY"]):
        return Page(path, make_token(Session(buyer, id=buyer), datetime.now(UTC))["token"])


def same_bytes(crowds: Crowds, name: str, page: Page) -> Row:
    """Beside a Flask route that answers the same bytes."""
    document = page.read(crowds.stack.web_url).content
    requests.put(f"{crowds.bare_url}/document", document, timeout=10).raise_for_status()
    what = f"GET {page.path.partition('?')[0]}, {len(document):,} bytes"
    return beside(crowds, name, page, what, "/document", "Flask route, same bytes")


def one_row(crowds: Crowds, name: str, page: Page) -> Row:
    """Beside a Flask route of one SELECT by a key."""
    page.read(crowds.stack.web_url)
    id = one(crowds.conn.execute(ROW, [page.token]))["id"]
    what = f"GET {page.path.rpartition('/')[0]}/…"
    return beside(crowds, name, page, what, f"/rows/{id}", "Flask route of one SELECT")


def beside(crowds: Crowds, name: str, page: Page, what: str, bare: str, reference: str) -> Row:
    with loading(crowds) as load:
        return compare(
            name,
            "requests/s",
            what,
            crowds.options,
            lambda: load.measure("web", "GET", page.path, page.token),
            lambda: load.measure("bare", "GET", bare, page.token),
            reference,
        )


def event(crowds: Crowds) -> Row:
    return same_bytes(crowds, "web.event", page_of(crowds, f"/v1/events/{crowds.shallow.id}"))


def availability(crowds: Crowds) -> Row:
    shown, _ = booked(crowds)
    return same_bytes(
        crowds, "web.availability", page_of(crowds, f"/v1/events/{shown.id}/availability")
    )


def chart(crowds: Crowds) -> Row:
    shown, _ = booked(crowds)
    return same_bytes(crowds, "web.chart", page_of(crowds, f"/v1/events/{shown.id}/seats"))


def position(crowds: Crowds) -> Row:
    """By the ticket that the entry tells."""
    ticket = waiting(crowds).read(crowds.stack.web_url).json()["ticket"]
    path = f"/v1/events/{crowds.deep.id}/queue/position"
    return same_bytes(crowds, "web.position", Page(path, ticket))


def entry(crowds: Crowds) -> Row:
    return one_row(crowds, "web.entry", waiting(crowds))


def waiting(crowds: Crowds) -> Page:
    found = one(crowds.conn.execute(ENTRY, [crowds.deep.id]))
    path = f"/v1/events/{crowds.deep.id}/queue/{found['id']}"
    return page_of(crowds, path, found["buyer_id"])


def booking(crowds: Crowds) -> Row:
    _, page = booked(crowds)
    return one_row(crowds, "web.booking", page)


ROWS = {
    "web.event": event,
    "web.availability": availability,
    "web.chart": chart,
    "web.position": position,
    "web.entry": entry,
    "web.booking": booking,
}
