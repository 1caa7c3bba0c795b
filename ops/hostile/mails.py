"""Attacks by mail: a third person is written to, with words of the attacker's."""

import time
import uuid

from ops.hostile.clients import Client
from ops.hostile.scene import Event, Scene
from ops.hostile.table import attack

WATCH_S = 45.0
WINDOW_S = 28.0
"""Mails are noticed up to some seconds after they came: so much is surely within 30 s."""
ADVERTISEMENT = "Win at https casino example"


def annoy(event: Event, mallory: Client) -> None:
    """Do all that mails something to the account's address."""
    mallory.post("/v1/tokens", {"email": mallory.email})
    answer = event.book(mallory)
    if answer.status_code == 201:
        mallory.delete(f"{event.path}/bookings/{answer.json()['id']}")


@attack("H4", "mails in 30 s to a mailbox that is not verified", 3, slow=True)
def a_mailbox_is_flooded(scene: Scene) -> float:
    """One thread makes accounts for a third person's mailbox, in other spellings, and does with
    each what causes mails: codes, bookings of free seats, cancellations."""
    free = scene.event(categories=[{"category": 1, "price": 0}])
    paid, victim = scene.event(), f"victim-{uuid.uuid4().hex[:8]}"
    seen, until, n = dict[str, float](), time.monotonic() + WATCH_S, 0
    while time.monotonic() < until:
        n += 1
        spelt = f"{victim}+{n}" if n > 1 else victim
        mallory = scene.guest(email=f"{spelt}@third.example")
        annoy(paid, mallory)
        annoy(free, mallory)
        for mail in scene.mails_to(victim):
            seen.setdefault(mail["id"], time.monotonic())
    return max(sum(0 <= at - first <= WINDOW_S for at in seen.values()) for first in seen.values())


@attack("H4", "mails that carry words of the account's maker", 0, slow=True)
def an_advertisement_is_mailed(scene: Scene) -> float:
    """An account for a third person's mailbox is named like an advertisement, and books."""
    event = scene.event(categories=[{"category": 1, "price": 0}])
    address = f"third-{uuid.uuid4().hex[:8]}@third.example"
    mallory = scene.guest(email=address, name=ADVERTISEMENT)
    event.held(mallory)
    mallory.post("/v1/tokens", {"email": address})
    give_up_at = time.monotonic() + 30
    while not (mails := scene.mails_to(address)):
        if time.monotonic() > give_up_at:
            raise TimeoutError("no mail came at all")
        time.sleep(0.5)
    time.sleep(2)
    return sum("casino" in scene.mail_text(mail) for mail in scene.mails_to(address) or mails)
