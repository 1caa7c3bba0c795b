"""One buyer, from signing up to the outcome. Only the public API is used."""

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import Any

from ops.crowd.api import HOLDING, JOINING, LOOKING, Answer, Api, Board, Edge, Unexpected
from ops.crowd.buyer import CAUTIOUS, DECLINED, GOOD, press, sign_up
from ops.demo.people import Hall, Person

Json = dict[str, Any]

WAITING = ("waiting", "standby")
ENDED = ("confirmed", "expired", "cancelled", "failed")

# Bookings do not say when to poll again: first soon, since most payments take a moment, then less.
FIRST_LOOK_S, LOOK_GROWS, LONGEST_LOOK_S = 0.6, 1.6, 4.0
# Seats are abandoned by buyers who got them within this part of the time to pay after the opening.
# So they come back while others still wait, and not at the very end.
ABANDONED_WITHIN = 0.25
# The public document says whose turn it is; the buyer's own entry is still read now and then.
OWN_LOOK_S = 120.0
# Between polls of a standby entry, for which seats may come back. Well below the demo's hold time,
# in which a booking has to be paid.
STANDBY_LOOK_S = 2.0


@dataclass
class Told:
    """The outcome for one buyer, as far as the buyer knows.

    outcome: confirmed, unavailable, left, expired, cancelled, failed, refused (the join), or error
    (something happened that must not happen).
    """

    number: int
    email: str = ""
    outcome: str = ""
    reason: str = ""
    quantity: int = 0
    flexible: bool = False
    booking_id: str = ""
    code: str = ""
    total: int = 0
    currency: str = ""
    seats: list[str] = field(default_factory=list)
    tickets: list[str] = field(default_factory=list)
    wait_s: float | None = None
    declined: bool = False


@dataclass
class Sale:
    """What all buyers of the crowd share."""

    api: Api
    edge: Edge
    board: Board
    hall: Hall
    event_id: int
    hold_seconds: int
    run: str

    opened_at: float = math.inf

    _looked_at: Json | None = None
    _taken: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        return f"/v1/events/{self.event_id}"

    async def taken(self) -> frozenset[str]:
        """The seats that cannot be chosen now, as the chart shows them to all."""
        document = await self.edge.get(f"{self.path}/availability")
        if document is not self._looked_at:
            self._looked_at, self._taken = document, frozenset(document["taken"])
        return self._taken


class Buyer:
    """One person who uses the service. `stage` is for the progress line."""

    def __init__(self, sale: Sale, person: Person, api: Api) -> None:
        self.sale, self.person, self.api = sale, person, api
        self.told = Told(person.number, quantity=person.quantity, flexible=person.flexible)
        self.stage = "coming"
        self.token = ""
        self.joined_at = 0.0

    async def sign_up(self) -> None:
        number = self.person.number
        emails = (f"buyer-{number}-{self.sale.run}-{n}@usher.example" for n in range(1, 4))
        account = await sign_up(self.api, f"Buyer {number}", emails)
        self.told.email, self.token = account.email, account.token

    async def buy(self) -> None:
        """Go from the queue to an outcome."""
        wish = await self._wish()
        entry = await self._join(wish)
        if entry is None:
            return
        booking_id = await self._wait_in_queue(entry)
        if booking_id:
            await self._take(booking_id)

    async def _wish(self) -> Json:
        person = self.person
        if person.with_pass:
            return {"quantity": person.quantity, "admission": True}
        if person.late and person.number % 2:
            kept = self.sale.hall.wish_for_kept(await self.sale.taken())
            if kept is not None:
                self.told.quantity = kept["quantity"]
                return kept
        if person.named and (seats := await self._seats_by_name()):
            return {"seats": seats}
        wish: Json = {"quantity": person.quantity, "together": person.together}
        if person.category is not None:
            wish["category"] = person.category
        if person.accessible:
            wish["accessible"] = person.accessible
        return wish

    async def _seats_by_name(self) -> list[str] | None:
        """Choose seats on the chart."""
        taken = await self.sale.taken()
        return self.sale.hall.choose(self.person.quantity, taken, self.person.dice)

    async def _join(self, wish: Json) -> Json | None:
        """Join and return the entry; None when the sale was already over."""
        key = f"join-{self.sale.run}-{self.person.number}"
        self.joined_at = time.monotonic()
        if self.person.asks_twice:
            first, answer = await asyncio.gather(
                self._post_join(wish, key), self._post_join(wish, key)
            )
            if first.body.get("id") != answer.body.get("id"):
                raise Unexpected(f"two entries for one key: {first.body} {answer.body}")
        else:
            answer = await self._post_join(wish, key)
        if answer.status == 409:
            self._end("refused", answer.reason)
            return None
        self.stage = "waiting"
        return answer.body

    async def _post_join(self, wish: Json, key: str) -> Answer:
        while True:
            answer = await self.api.call(
                "POST", f"{self.sale.path}/queue", wish, token=self.token, key=key,
                expect=(200, 201, 409), kind=JOINING,
            )  # fmt: skip
            if answer.status != 409 or answer.reason == "sale_over":
                return answer
            if answer.reason not in ("in_flight", "sale_not_open"):
                raise Unexpected(f"join: {answer.body}")
            await asyncio.sleep(0.3)

    async def _wait_in_queue(self, entry: Json) -> str | None:
        """Wait until the entry is decided; return the booking's id, or None."""
        path = f"{self.sale.path}/queue/{entry['id']}"
        if self.person.leaves_queue:
            await asyncio.sleep(self.person.dice.uniform(0, 1))
            answer = await self.api.call("DELETE", path, token=self.token, expect=(204, 409))
            if answer.status == 204:
                self._end("left")
                return None
        pause = self._pause(entry) if entry["number"] > self.sale.board.serving else 0
        while entry["state"] in WAITING:
            await self.sale.board.wait_for(entry["number"], pause)
            kind = LOOKING if self.sale.board.ended.is_set() else HOLDING
            entry = (await self.api.call("GET", path, token=self.token, kind=kind)).body
            if entry["state"] == "admitted":
                entry = await self._choose(path, entry)
            pause = self._pause(entry)
        if "booking_id" not in entry:  # decided before the join was answered a second time
            entry = (await self.api.call("GET", path, token=self.token)).body
        if entry["state"] != "booked":
            self._end(entry["state"], entry.get("reason") or "")
            return None
        self.told.wait_s = time.monotonic() - self.joined_at
        return str(entry["booking_id"])

    async def _choose(self, path: str, entry: Json) -> Json:
        """Use a pass: book seats chosen on the chart, else the best available; return the entry."""
        taken = (await self.api.call("POST", f"{path}/pass", token=self.token)).body
        wishes: list[Json] = [{"quantity": entry["quantity"], "together": False}]
        if seats := await self._seats_by_name():
            wishes.insert(0, {"seats": seats})
        for wish in wishes if taken["pass"] else ():
            answer = await self.api.call(
                "POST", f"{self.sale.path}/bookings", wish | {"pass": taken["pass"]},
                token=self.token, key=f"{path}-{len(wish)}", expect=(201, 409),
            )  # fmt: skip
            if answer.status == 201:
                break
        else:
            if taken["pass"]:
                await self.api.call("DELETE", path, token=self.token, expect=(204, 409))
        return (await self.api.call("GET", path, token=self.token)).body

    def _pause(self, entry: Json) -> float:
        """Seconds until the buyer reads its entry again; never less than the service asks for."""
        called = entry["number"] <= self.sale.board.serving
        least = STANDBY_LOOK_S if called else OWN_LOOK_S
        asked: float = entry["poll_after_s"] or 0
        return max(least, asked) * self.person.dice.uniform(1, 1.3)

    async def _take(self, booking_id: str) -> None:
        """Go from the hold to its end."""
        self.stage = "holding"
        self.told.booking_id = booking_id
        booking = await self._look(booking_id)
        self.told.code = booking["code"]
        self.told.total, self.told.currency = booking["total"], booking["currency"]
        self.told.seats = [item["guid"] for item in booking["items"]]
        if booking["state"] == "held":
            booking = await self._pay(booking)
        while booking["state"] not in ENDED:
            booking = await self._look_after(booking, booking.get("seconds_left") or 0)
        if booking["state"] == "confirmed":
            await self._fetch_tickets(booking_id)
        self._end(booking["state"], booking.get("reason") or "")

    async def _look(self, booking_id: str, kind: int = HOLDING) -> Json:
        path = f"{self.sale.path}/bookings/{booking_id}"
        return (await self.api.call("GET", path, token=self.token, kind=kind)).body

    async def _look_after(self, booking: Json, seconds: float) -> Json:
        await asyncio.sleep(min(max(seconds, FIRST_LOOK_S), 60))
        return await self._look(booking["id"], LOOKING)

    async def _pay(self, booking: Json) -> Json:
        """Pay in this person's manner; return the booking after that."""
        manner = self.person.manner
        if manner == "walks_away" and not self._is_late():
            return booking
        await asyncio.sleep(min(self.person.dice.expovariate(1.5), 3))
        first = {"declined": DECLINED, "gives_up": DECLINED, "authenticates": CAUTIOUS}
        booking = await self._try_card(booking, first.get(manner, GOOD))
        if booking["state"] == "held" and manner == "gives_up":
            return await self._give_up(booking)
        if booking["state"] == "held" and manner == "declined":
            booking = await self._try_card(booking, GOOD)
        return booking

    def _is_late(self) -> bool:
        since = time.monotonic() - self.sale.opened_at
        return since > ABANDONED_WITHIN * self.sale.hold_seconds

    async def _try_card(self, booking: Json, card: str) -> Json:
        """One attempt to pay, until its outcome is known."""
        self.stage = "paying"
        answer = await self.api.call(
            "POST", f"{self.sale.path}/bookings/{booking['id']}/payment", {"payment_method": card},
            token=self.token, key=f"pay-{booking['id']}-{card}", expect=(200, 202, 409),
        )  # fmt: skip
        if answer.status == 409 and answer.reason not in ("deadline_passed", "not_held"):
            raise Unexpected(f"payment: {answer.body}")
        authenticated, pause = False, FIRST_LOOK_S
        while True:
            booking = await self._look_after(booking, pause)
            payment = booking["payment"] or {}
            if booking["state"] in ("held", *ENDED):
                break
            if payment.get("state") == "requires_action" and not authenticated:
                await press(payment["next_action"]["redirect_to_url"]["url"], "approve")
                authenticated, pause = True, FIRST_LOOK_S
            pause = min(pause * LOOK_GROWS, LONGEST_LOOK_S)
        self.told.declined = self.told.declined or payment.get("state") == "failed"
        return booking

    async def _give_up(self, booking: Json) -> Json:
        """Half of these buyers cancel the booking; the others let it expire."""
        if self.person.dice.random() < 0.5 or self._is_late():
            path = f"{self.sale.path}/bookings/{booking['id']}"
            await self.api.call("DELETE", path, token=self.token, expect=(202, 204, 409))
            return await self._look(booking["id"])
        return booking

    async def _fetch_tickets(self, booking_id: str) -> None:
        path = f"{self.sale.path}/bookings/{booking_id}/tickets"
        tickets: Any = (await self.api.call("GET", path, token=self.token, kind=LOOKING)).body
        self.told.tickets = [ticket["guid"] for ticket in tickets if ticket["state"] == "valid"]

    def _end(self, outcome: str, reason: str = "") -> None:
        self.told.outcome, self.told.reason = outcome, reason
        self.stage = "done"
