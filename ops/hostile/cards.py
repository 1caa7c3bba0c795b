"""Attacks with cards: numbers are tried where declines cost nothing."""

import itertools
import threading
import time
from functools import partial

from ops.hostile.clients import Client, Refused
from ops.hostile.scene import Event, Scene, at_once, meanwhile
from ops.hostile.table import attack

BAD_CARDS = [
    "pm_card_chargeDeclined",
    "pm_card_chargeCustomerFail",
    "pm_card_visa_chargeDeclinedInsufficientFunds",
    "pm_card_visa_chargeDeclinedLostCard",
    "pm_card_visa_chargeDeclinedStolenCard",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_chargeDeclinedIncorrectCvc",
    "pm_card_chargeDeclinedProcessingError",
]
TESTERS, CARDS_EACH = 30, 10
SENT = """
SELECT count(*) AS n FROM payments
WHERE event_id = %s AND state = 'failed' AND first_sent_at IS NOT NULL
"""


def try_cards(event: Event, guest: Client, cards: int = CARDS_EACH) -> int:
    """One guest tries cards until it is refused; how many were declined by a bank."""
    try:
        booking = event.held(guest)
    except Refused:
        return 0
    declined = 0
    for card in itertools.islice(itertools.cycle(BAD_CARDS), cards):
        if event.pay(guest, booking, card).status_code != 202:
            break
        payment = event.outcome(guest, booking)["payment"]
        declined += (payment["failure"] or {}).get("code") == "declined"
    return declined


@attack("H2", "declines that one address gets in a quarter of an hour", 20)
def cards_are_tested_from_one_address(scene: Scene) -> float:
    """Thirty guests at one address try ten cards each for seats of one event."""
    event = scene.event()
    guests = scene.guests(TESTERS, scene.address())
    at_once(lambda guest: try_cards(event, guest), guests, threads=10)
    return scene.count(SENT, event.id)


@attack("H2", "declines that one account gets in a quarter of an hour", 5)
def cards_are_tested_by_one_account(scene: Scene) -> float:
    """One guest tries ten cards, each from another address."""
    event, guest = scene.event(), scene.guest()
    booking = event.held(guest)
    for card in itertools.islice(itertools.cycle(BAD_CARDS), CARDS_EACH):
        elsewhere = scene.client()
        elsewhere.token = guest.token
        if event.pay(elsewhere, booking, card).status_code == 202:
            event.outcome(guest, booking)
    return scene.count(SENT, event.id)


@attack("H2", "declines for one event in a quarter of an hour", 100 + 40)
def cards_are_tested_from_many_addresses(scene: Scene) -> float:
    """Forty guests, each at an address of its own, try five cards each. When an event has a hundred
    declines among its latest payments, a guest without a verified address has one."""
    event = scene.event()
    at_once(lambda guest: try_cards(event, guest, 5), scene.guests(40), threads=10)
    return scene.count(SENT, event.id)


@attack("H2", "different texts about declined cards", 1)
def the_banks_reasons_tell_which_cards_are_good(scene: Scene) -> list[str]:
    """Cards that are lost, empty or expired, or have a wrong code, are told apart."""
    event = scene.event()

    def told(card: str) -> str:
        guest = scene.guest()
        booking = event.held(guest)
        event.pay(guest, booking, card).raise_for_status()
        return str(event.outcome(guest, booking)["payment"]["failure"])

    return sorted(set(at_once(told, BAD_CARDS, threads=3)))


@attack("H2", "seconds that the slowest honest payment takes meanwhile", 3)
def honest_payments_wait_behind_tested_cards(scene: Scene) -> float:
    """Thirty guests at six addresses try cards as fast as they can; others pay meanwhile."""
    event = scene.event()
    crowds = [scene.guests(5, scene.address()) for _ in range(6)]
    with meanwhile(*(partial(try_until, event, guests) for guests in crowds)):
        return max(pay_once(scene, event) for _ in range(12))


def try_until(event: Event, guests: list[Client], over: threading.Event) -> None:
    for guest in itertools.cycle(guests):
        if over.is_set():
            return
        try_cards(event, guest, 3)


def pay_once(scene: Scene, event: Event) -> float:
    """Seconds from the payment's request to the confirmation."""
    buyer = scene.guest(name="Alice")
    return pay(event, buyer, event.held(buyer))


def pay(event: Event, buyer: Client, booking: str) -> float:
    """Seconds from the payment's request to the confirmation. Errors: Refused."""
    began = time.monotonic()
    event.pay(buyer, booking).raise_for_status()
    state = event.outcome(buyer, booking, patience=60)["state"]
    if state != "confirmed":
        raise Refused(f"an honest payment ended as {state}")
    return time.monotonic() - began
