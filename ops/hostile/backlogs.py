"""Attacks with backlogs: one organisation's work keeps the sales of others waiting."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ops.hostile.cards import BAD_CARDS, pay
from ops.hostile.clients import Client, Refused
from ops.hostile.scene import Event, Scene, at_once, meanwhile
from ops.hostile.table import attack
from web.api.lanes import OWN_WEIGHTS

HOLDERS, PAYERS, WAITING = 40, 100, 300
BLOCK = "SELECT open_circuit(gateway_account_id, NULL, 1, 1)::int AS n FROM events WHERE id = %s"
RETRY = """
UPDATE gateway_circuits SET retry_at = clock_timestamp() + make_interval(secs => %s)
WHERE gateway_account_id = (SELECT gateway_account_id FROM events WHERE id = %s)
"""
SHARE = """
UPDATE events SET gateway_account_id = (SELECT gateway_account_id FROM events WHERE id = %s)
WHERE id = %s
"""
BOOK_AHEAD = """
INSERT INTO gateway_slots AS s (gateway_account_id, endpoint, next_at)
SELECT gateway_account_id, 'create', clock_timestamp() + interval '2 s' FROM events WHERE id = %s
ON CONFLICT (gateway_account_id, endpoint)
    DO UPDATE SET next_at = greatest(s.next_at, excluded.next_at)
"""
LEFT_WAITING = """
SELECT (SELECT count(*) FROM entries WHERE event_id = %s AND state = 'waiting')
    * (SELECT count(*) FROM bookings WHERE event_id = %s AND state = 'authorising') AS n
"""


def book_ahead(scene: Scene, event: Event, over: threading.Event) -> None:
    """Keep the gateway account of an event busy: each new payment waits two seconds for a slot."""
    while not over.wait(0.2):
        scene.conn.execute(BOOK_AHEAD, [event.id])


@contextmanager
def blocked(scene: Scene, event: Event) -> Iterator[None]:
    """The gateway account of an event cannot be used until the block ends."""
    scene.count(BLOCK, event.id)
    scene.conn.execute(RETRY, [600, event.id])
    try:
        yield
    finally:
        scene.conn.execute(RETRY, [0, event.id])


def join(event: Event, guest: Client) -> str:
    """The path of a guest's entry. Errors: requests.HTTPError."""
    answer = guest.post(f"{event.path}/queue", {"quantity": 1}, key=str(uuid.uuid4()))
    answer.raise_for_status()
    return f"{event.path}/queue/{answer.json()['id']}"


def wait_for_booking(guest: Client, entry: str, patience: float = 30) -> str:
    """The path of the booking that an entry got. Errors: TimeoutError, Refused."""
    give_up_at = time.monotonic() + patience
    while time.monotonic() < give_up_at:
        found = guest.get(entry).json()
        if found.get("booking_id"):
            return f"{entry.partition('/queue/')[0]}/bookings/{found['booking_id']}"
        if found.get("state") not in ("waiting", "standby"):
            raise Refused(f"the entry is {found}")
        time.sleep(0.2)
    raise TimeoutError(f"no booking after {patience:.0f} s")


def buy(scene: Scene, event: Event) -> float:
    """Seconds from joining the queue to the ticket."""
    alice = scene.guest(name="Alice")
    began = time.monotonic()
    pay(event, alice, wait_for_booking(alice, join(event, alice)))
    return time.monotonic() - began


@attack("backlog", "seconds from the queue to the ticket at another organisation", 5)
def an_organisations_gateway_account_is_blocked(scene: Scene) -> float:
    """Buyers of one organisation try bad cards; then its gateway account is blocked, while they pay
    and more join its queue. Others buy from an organisation with an account of its own."""
    crowded, ours = scene.of_another_organisation().event(), scene.event()
    guests = scene.guests(HOLDERS)
    held = at_once(lambda guest: (guest, crowded.held(guest)), guests, threads=8)
    half = len(held) // 2
    at_once(lambda one: crowded.pay(*one, BAD_CARDS[0]), held[:half], threads=8)
    with blocked(scene, crowded):
        at_once(lambda one: crowded.pay(*one), held[half:], threads=8)
        at_once(lambda guest: join(crowded, guest), scene.guests(HOLDERS), threads=8)
        slowest = max(buy(scene, ours) for _ in range(6))
        if not scene.count(LEFT_WAITING, crowded.id, crowded.id):
            raise Refused("nothing waited for the blocked account")
    return slowest


@attack("backlog", "seconds that the slowest payment at another organisation takes", 5)
def a_crowd_pays_through_a_slow_gateway_account(scene: Scene) -> float:
    """A hundred buyers of one organisation pay at once, and its gateway account is slow. Others pay
    at an organisation with an account of its own."""
    crowded, ours = scene.of_another_organisation().event(), scene.event()
    held = at_once(lambda guest: (guest, crowded.held(guest)), scene.guests(PAYERS), threads=8)
    alices = scene.guests(4)
    booked = [(alice, ours.held(alice)) for alice in alices]
    with meanwhile(partial(book_ahead, scene, crowded)):
        at_once(lambda one: crowded.pay(*one), held, threads=8)
        return max(pay(ours, *one) for one in booked)


@attack("backlog", "seconds until a seat is held at another organisation of the same account", 5)
def an_important_event_shares_its_gateway_account(scene: Scene) -> float:
    """Two organisations are paid through one gateway account. One gives its event the greatest
    weight that it may, and hundreds join its queue at once; then one joins the other's."""
    crowded, ours = scene.of_another_organisation().event(), scene.event()
    scene.conn.execute(SHARE, [ours.id, crowded.id])
    crowded.scene.organiser.patch(f"{crowded.path}/lane", {"weight": OWN_WEIGHTS[1]})
    crowded.scene.organiser.post(f"{crowded.path}/pause", {})
    at_once(lambda guest: join(crowded, guest), scene.guests(WAITING), threads=8)
    alice = scene.guest(name="Alice")
    crowded.scene.organiser.post(f"{crowded.path}/resume", {})
    began = time.monotonic()
    wait_for_booking(alice, join(ours, alice))
    return time.monotonic() - began
