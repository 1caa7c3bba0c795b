"""Many attacks at once, for as long as a block lasts: honest buyers must not feel them."""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import requests

from ops.hostile.addresses import forged_headers
from ops.hostile.cards import BAD_CARDS
from ops.hostile.clients import Refused, connect
from ops.hostile.protocol import HEAD, MALFORMED
from ops.hostile.scene import Event, Scene, meanwhile

PAUSE_S = 0.1
"""Between two steps of one attacker. Attackers, buyers and Usher share this machine: without a
pause its pace would be measured, and not what limits do."""
SLOW_ONES = 40

Step = Callable[[], object]


@dataclass
class Mixed:
    """Attackers of one event, each a thread that repeats a step. `done` counts the steps."""

    scene: Scene
    event: Event
    done: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        acts = [partial(self._repeat, name, step) for name, step in self.steps().items()]
        with meanwhile(*acts):
            yield

    def _repeat(self, name: str, step: Step, over: threading.Event) -> None:
        while not over.wait(PAUSE_S):
            try:
                step()
            except (requests.RequestException, OSError, Refused, KeyError):
                self.done[f"{name}: refused"] += 1
            else:
                self.done[name] += 1

    def steps(self) -> dict[str, Step]:
        return {
            "cards": self._test_cards(),
            "holds": self._hold_and_cancel(),
            "mails": self._write_to_a_third(),
            "passwords": self._guess(),
            "addresses": self._forge(),
            "documents": self._ask_for_nothing(),
            "malformed": self._send_nonsense(),
            "slow": self._open_slow_ones(),
            "accounts": self._make_accounts(),
        }

    def _test_cards(self) -> Step:
        address, cards = self.scene.address(), itertools.cycle(BAD_CARDS)

        def step() -> None:
            guest = self.scene.guest(address)
            booking = self.event.held(guest)
            for _ in range(3):
                self.event.pay(guest, booking, next(cards)).raise_for_status()
            guest.delete(booking)

        return step

    def _hold_and_cancel(self) -> Step:
        guest = self.scene.guest()

        def step() -> None:
            guest.delete(self.event.held(guest, 4))

        return step

    def _write_to_a_third(self) -> Step:
        mallory, victim = self.scene.client(), uuid.uuid4().hex[:8]

        def step() -> None:
            email = f"{victim}+{uuid.uuid4().hex[:8]}@third.example"
            mallory.post("/v1/accounts", {"email": email, "name": "Win"})
            mallory.post("/v1/tokens", {"email": email})

        return step

    def _guess(self) -> Step:
        mallory = self.scene.client()
        body = {"email": "alice@example.org", "password": "not the right one"}
        return lambda: mallory.post("/v1/tokens", body)

    def _forge(self) -> Step:
        mallory, numbers = self.scene.client(), itertools.count()
        return lambda: mallory.get(self.event.path, headers=forged_headers(next(numbers)))

    def _ask_for_nothing(self) -> Step:
        mallory, numbers = self.scene.client(), itertools.count(10**9)
        return lambda: mallory.get(f"/v1/events/{next(numbers)}/availability")

    def _send_nonsense(self) -> Step:
        address, forms = self.scene.address(), itertools.cycle(MALFORMED)

        def step() -> None:
            with connect(self.scene.stack.web_url, address) as raw:
                raw.sendall(next(forms))

        return step

    def _open_slow_ones(self) -> Step:
        """Half a request on each of some connections, and never the rest."""
        address, held = self.scene.address(), []

        def step() -> None:
            raw = connect(self.scene.stack.web_url, address)
            raw.sendall(HEAD + b"Content-Length: 200\r\n\r\n{")
            held.append(raw)
            if len(held) > SLOW_ONES:
                held.pop(0).close()

        return step

    def _make_accounts(self) -> Step:
        mallory = self.scene.client()

        def step() -> None:
            email = f"{uuid.uuid4()}@hostile.example"
            mallory.post("/v1/accounts", {"email": email, "name": "M", "password": "12345678"})

        return step
