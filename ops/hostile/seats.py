"""Attacks on seats: held for nothing, so that others cannot have them."""

import time
import uuid

from ops.hostile.clients import Client
from ops.hostile.scene import Event, Scene, at_once, wait_for_window
from ops.hostile.table import attack

OFFLINE = """
SELECT sum(b.quantity) AS n FROM bookings b
JOIN payments p ON p.event_id = b.event_id AND p.booking_id = b.id
WHERE b.event_id = %s AND p.method = 'offline'
"""
LONG_WATCH_S = 75.0  # more than one window of a limit per minute
PASS_S = 60.0


@attack("H3", "seats that guests without a verified address hold offline", 0)
def seats_are_held_for_days_by_paying_offline(scene: Scene) -> float:
    """Forty guests book eight seats each and choose to pay offline, which keeps them for days."""
    event = scene.event(offline_seconds=3 * 86_400, offline_instructions="At the till")

    def hold(guest: Client) -> None:
        booking = event.held(guest, 8, together=False)
        guest.post(f"{booking}/payment", {"method": "offline"}, key=str(uuid.uuid4()))

    at_once(hold, scene.guests(40), threads=8)
    return scene.count(OFFLINE, event.id)


@attack("H3", "bookings of one guest in a minute", 5)
def seats_are_held_cancelled_and_held_again(scene: Scene) -> float:
    """One guest books the same four seats and cancels, forty times."""
    event, guest, made = scene.event(), scene.guest(), 0
    wait_for_window(15)
    for _ in range(40):
        made += hold_and_cancel(event, guest)
    return made


def hold_and_cancel(event: Event, guest: Client) -> bool:
    answer = event.book(guest, seats=["1-1", "1-2", "1-3", "1-4"])
    if answer.status_code != 201:
        return False
    guest.delete(f"{event.path}/bookings/{answer.json()['id']}")
    return True


@attack("H3", "bookings of one guest in a quarter of an hour that are not paid", 6, slow=True)
def seats_are_held_again_and_again(scene: Scene) -> float:
    """One guest books and cancels as often as the limits allow, directly and by the queue."""
    event, guest = scene.event(), scene.guest()
    until = time.monotonic() + LONG_WATCH_S
    while time.monotonic() < until:
        if not hold_and_cancel(event, guest):
            join_and_cancel(event, guest)
        time.sleep(1)
    return scene.count("SELECT count(*) AS n FROM bookings WHERE event_id = %s", event.id)


def join_and_cancel(event: Event, guest: Client) -> None:
    joined = guest.post(f"{event.path}/queue", {"quantity": 4}, key=str(uuid.uuid4()))
    if joined.status_code != 201:
        return
    path = f"{event.path}/queue/{joined.json()['id']}"
    for _ in range(20):
        entry = guest.get(path)
        if not entry.ok or entry.json()["state"] not in ("waiting", "standby"):
            break
        time.sleep(0.2)
    if entry.ok and entry.json()["booking_id"]:
        guest.delete(f"{event.path}/bookings/{entry.json()['booking_id']}")
    else:
        guest.delete(path)


@attack("H3", "seconds that an honest buyer waits for a pass", PASS_S + 10, slow=True)
def passes_are_taken_and_not_used(scene: Scene) -> float:
    """As many guests as there are seats take passes of a gated event and leave them unused."""
    event = scene.event(seats=44, gated=True, pass_seconds=600)

    def take(guest: Client) -> None:
        path = join_for_pass(event, guest)
        wait_for_pass(guest, path, 20)
        guest.post(f"{path}/pass")

    at_once(take, scene.guests(44), threads=8)
    alice, began = scene.guest(name="Alice"), time.monotonic()
    wait_for_pass(alice, join_for_pass(event, alice), 3 * PASS_S)
    return time.monotonic() - began


def join_for_pass(event: Event, guest: Client) -> str:
    wish = {"quantity": 1, "admission": True}
    answer = guest.post(f"{event.path}/queue", wish, key=str(uuid.uuid4()))
    answer.raise_for_status()
    return f"{event.path}/queue/{answer.json()['id']}"


def wait_for_pass(guest: Client, path: str, patience: float) -> None:
    """Errors: TimeoutError."""
    give_up_at = time.monotonic() + patience
    while guest.get(path).json().get("pass_state") != "offered":
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"no pass after {patience:.0f} s")
        time.sleep(1.1)


@attack("H3", "buyers who are refused although seats are free", 0)
def one_on_standby_turns_direct_booking_off(scene: Scene) -> list[str]:
    """One guest wishes for more seats together than are left anywhere, and waits for them."""
    event = scene.event(seats=22)
    event.held(scene.guest(), seats=["1-8", "1-15"])
    mallory = scene.guest()
    wish = {"quantity": 8, "together": True}
    mallory.post(f"{event.path}/queue", wish, key=str(uuid.uuid4())).raise_for_status()
    time.sleep(2)
    answers = [event.book(buyer) for buyer in scene.guests(10)]
    return [answer.text for answer in answers if answer.status_code != 201]
