"""One buyer of a campaign. Only the public API is used, whatever fails.

Each manner is a method of Buyer. It returns when the buyer has nothing more to do; then the booking
is watched until its end.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ops.chaos.plan import Person
from ops.crowd.api import Answer, Api, Unexpected
from ops.crowd.buyer import CAUTIOUS, DECLINED, GOOD, press, sign_up

Json = dict[str, Any]

NO_FUNDS = "pm_card_visa_chargeDeclinedInsufficientFunds"
DISPUTED = "pm_card_createDispute"
SLOW_REFUND = "pm_card_pendingRefund"
FAILING_REFUND = "pm_card_refundFail"

WAITING = ("lobby", "waiting", "standby")
PAYING = ("authorising", "review", "secured")
UNDER_WAY = ("held", "authorising", "expiring", "review", "secured")
FIRST_LOOK_S, LOOK_GROWS, LONGEST_LOOK_S = 0.4, 1.5, 3.0
LONGEST_WAIT_S = 1.5  # between polls of the buyer's entry: holds are short
NOT_NOW = ("payment_in_progress", "not_held", "deadline_passed")
QUEUE_INSTEAD = ("queue", "full", "paused", "no_pass")


@dataclass
class Told:
    """What a buyer was told. states: the booking's states in the order in which they were seen.

    accepted: the ids of what was answered with a 2xx and has to reach an end, by kind ("entry",
    "booking", "payment 1", "refund"). account: the buyer's. error: an answer that must not be given
    even while faults last.
    """

    number: int
    manner: str
    booking_id: str = ""
    event_id: int = 0
    account: int = 0
    states: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    turned_away: str = ""
    error: str = ""


class Buyer:
    """One buyer. `stage`: coming, acting, watching, done."""

    def __init__(self, api: Api, person: Person, event: Json, organiser: str) -> None:
        self.api, self.person, self.organiser = api, person, organiser
        self.event_id: int = event["id"]
        self.gated: bool = event["gated"]
        self.passes: bool = event["passes"]
        self.path = f"/v1/events/{self.event_id}"
        self.told = Told(person.number, person.manner, event_id=self.event_id)
        self.dice = random.Random(person.dice)
        self.stage = "coming"
        self.token = ""
        self.booking: Json = {}
        self.attempts = 0

    async def act(self) -> None:
        """Get seats, then act in this buyer's manner. Errors: Unexpected."""
        self.stage = "acting"
        await self._sign_up()
        booking_id = await self._get_seats()
        if booking_id is None:
            return
        self.told.booking_id = booking_id
        await self.look()
        await asyncio.sleep(self.person.thinks_s)
        await MANNERS[self.person.manner](self)
        await self._wish()

    async def watch(self) -> None:
        """Poll the booking until its end."""
        self.stage = "watching"
        if self.told.booking_id:
            await self._settled(*UNDER_WAY)
        self.stage = "done"

    # Seats.

    async def _sign_up(self) -> None:
        number = self.person.number
        emails = (f"buyer-{number}-{n}@usher.example" for n in range(10))
        account = await sign_up(self.api, f"Buyer {number}", emails)
        self.token, self.told.account = account.token, account.id

    async def _get_seats(self) -> str | None:
        """Get seats; return the booking's id, or None when the buyer was turned away."""
        wish = {"quantity": self.person.quantity, "together": False}
        if not self.gated:
            booking_id = await self._book(wish)
            if booking_id or self.told.turned_away not in QUEUE_INSTEAD:
                return booking_id
            self.told.turned_away = ""
        wish |= {"admission": True} if self.passes else {}
        answer = await self._ask("POST", "/queue", wish, key="join", expect=(200, 201, 409))
        if answer.status == 409:
            self.told.turned_away = answer.reason
            return None
        self.told.accepted["entry"] = str(answer.body["id"])
        return await self._wait_in_queue(str(answer.body["id"]))

    async def _book(self, wish: Json) -> str | None:
        answer = await self._ask("POST", "/bookings", wish, key="book", expect=(201, 409))
        if answer.status == 409:
            self.told.turned_away = answer.reason
            return None
        self.told.accepted["booking"] = str(answer.body["id"])
        return str(answer.body["id"])

    async def _wait_in_queue(self, entry_id: str) -> str | None:
        pause = FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause)
            entry = (await self._ask("GET", f"/queue/{entry_id}")).body
            if entry["state"] == "booked":
                return str(entry["booking_id"])
            if entry["pass_state"] in ("offered", "missed"):
                taken = (await self._ask("POST", f"/queue/{entry_id}/pass", expect=(200, 409))).body
                if taken.get("pass"):
                    wish = {"quantity": self.person.quantity, "together": False}
                    return await self._book(wish | {"pass": taken["pass"]})
            elif entry["state"] not in WAITING:
                self.told.turned_away = entry["reason"] or entry["state"]
                return None
            pause = min(pause * LOOK_GROWS, LONGEST_WAIT_S)

    # Polling and paying.

    async def _ask(self, method: str, path: str, body: Json | None = None, *, key: str = "",
                   expect: tuple[int, ...] = (200,), token: str = "") -> Answer:  # fmt: skip
        """Call a path below the event's, again and again until it is answered."""
        while True:
            answer = await self.api.call(
                method, self.path + path, body, token=token or self.token,
                key=f"{key}-{self.person.number}" if key else "", expect=expect,
            )  # fmt: skip
            if answer.status != 409 or answer.reason != "in_flight":
                return answer
            await asyncio.sleep(0.3)

    async def look(self) -> None:
        self.booking = (await self._ask("GET", f"/bookings/{self.told.booking_id}")).body
        state = self.booking["state"]
        if self.told.states[-1:] != [state]:
            self.told.states.append(state)
        self.told.reason = self.booking["reason"] or ""

    async def _settled(self, *while_in: str) -> str:
        """Poll until the booking is in none of these states; return its state."""
        pause = FIRST_LOOK_S
        await self.look()
        while self.booking["state"] in while_in:
            await asyncio.sleep(pause)
            await self.look()
            pause = min(pause * LOOK_GROWS, LONGEST_LOOK_S)
        return str(self.booking["state"])

    async def _pay(self, card: str) -> bool:
        """Begin an attempt; return whether it was accepted."""
        self.attempts += 1
        attempt = self.attempts  # another tab may begin the next one meanwhile
        answer = await self._ask(
            "POST", f"/bookings/{self.told.booking_id}/payment", {"payment_method": card},
            key=f"pay-{attempt}", expect=(202, 409),
        )  # fmt: skip
        if answer.status == 409 and answer.reason not in NOT_NOW:
            raise Unexpected(f"payment: {answer.body}")
        if answer.status == 202:
            self.told.accepted[f"payment {attempt}"] = answer.body["payment"]["id"]
        return answer.status == 202

    async def _pay_to_the_end(self, card: str) -> str:
        await self._pay(card)
        return await self._settled(*PAYING)

    async def _bank_page(self, card: str = CAUTIOUS) -> str | None:
        """Pay with a card that asks for authentication; return the bank's page, if there is one."""
        if not await self._pay(card):
            return None
        pause = FIRST_LOOK_S
        while True:
            await self.look()
            payment = self.booking["payment"] or {}
            if self.booking["state"] != "authorising":
                return None
            if payment.get("state") == "requires_action":
                return str(payment["next_action"]["redirect_to_url"]["url"])
            await asyncio.sleep(pause)
            pause = min(pause * LOOK_GROWS, LONGEST_LOOK_S)

    async def _press(self, url: str | None, outcome: str) -> None:
        if url is not None:
            await press(url, outcome)

    async def _cancel(self) -> None:
        path = f"/bookings/{self.told.booking_id}"
        await self._ask("DELETE", path, expect=(202, 204, 409))

    async def _until_deadline(self, spread: float) -> None:
        """Sleep until the end of the hold, plus or minus a random time."""
        left = self.booking["seconds_left"] or 0
        await asyncio.sleep(max(0, left + self.dice.uniform(-spread, spread)))

    # Manners.

    async def pays(self) -> None:
        await self._pay_to_the_end(GOOD)

    async def another_card(self) -> None:
        if await self._pay_to_the_end(NO_FUNDS) == "held":
            await self._pay_to_the_end(GOOD)

    async def declined(self) -> None:
        await self._pay_to_the_end(DECLINED)

    async def authenticates(self) -> None:
        await self._press(await self._bank_page(), "approve")
        await self._settled(*PAYING)

    async def authenticates_late(self) -> None:
        """Authenticate about when the hold ends."""
        url = await self._bank_page()
        await self._until_deadline(0.8)
        await self._press(url, "approve")

    async def denies(self) -> None:
        await self._press(await self._bank_page(), "fail")
        if await self._settled(*PAYING) == "held":
            await self._pay_to_the_end(GOOD)

    async def abandons(self) -> None:
        await self._bank_page()

    async def two_tabs(self) -> None:
        cards = self.dice.sample([GOOD, GOOD, NO_FUNDS, CAUTIOUS], 2)
        await asyncio.gather(*map(self._pay, cards))
        if await self._settled(*PAYING) == "held":
            await asyncio.gather(self._pay(GOOD), self._pay(GOOD))

    async def cancels(self) -> None:
        """Cancel while the payment is under way."""
        await self._pay(self.dice.choice([GOOD, GOOD, CAUTIOUS, NO_FUNDS]))
        await asyncio.sleep(self.dice.uniform(0, 1.2))
        await self._cancel()

    async def gives_up(self) -> None:
        await self._cancel()

    async def last_moment(self) -> None:
        await self._until_deadline(0.5)
        await self._pay(self.dice.choice([GOOD, GOOD, CAUTIOUS]))

    async def walks_away(self) -> None:
        pass

    async def disputes(self) -> None:
        await self._pay_to_the_end(DISPUTED)

    async def slow_refund(self) -> None:
        await self._pay_to_the_end(SLOW_REFUND)

    async def failing_refund(self) -> None:
        await self._pay_to_the_end(FAILING_REFUND)

    # What happens to a booking that is paid: the organiser refunds it.

    async def _wish(self) -> None:
        refunds = self.person.manner in ("slow_refund", "failing_refund")
        wish = self.person.wish or ("refund" if refunds else "")
        if not wish or await self._settled(*PAYING) != "confirmed":
            return
        asked: Json = {"reason": "asked for", "with_fees": self.dice.random() < 0.5}
        if wish == "amount":
            asked["amount"] = self.dice.randint(1, self.booking["total"])
        elif wish == "ticket":
            tickets: Any = (
                await self._ask("GET", f"/bookings/{self.told.booking_id}/tickets")
            ).body
            valid = [ticket["id"] for ticket in tickets if ticket["state"] == "valid"]
            if not valid:
                return
            asked["tickets"] = valid[:1]
        answer = await self._ask(
            "POST", f"/bookings/{self.told.booking_id}/refunds", asked,
            key="refund", expect=(201, 409, 422), token=self.organiser,
        )  # fmt: skip
        if answer.status == 201 and answer.body["refund"]:
            self.told.accepted["refund"] = answer.body["refund"]["id"]
        await self.look()


MANNERS: dict[str, Callable[[Buyer], Awaitable[None]]] = {
    name: getattr(Buyer, name)
    for name in (
        "pays", "another_card", "declined", "authenticates", "authenticates_late", "denies",
        "abandons", "two_tabs", "cancels", "gives_up", "last_moment", "walks_away", "disputes",
        "slow_refund", "failing_refund",
    )
}  # fmt: skip
