"""saga.latency: how long a buyer waits from POST …/payment until the booking is confirmed.

All processes run as in `make run`, and nothing else happens. Buyers pay one at a time, then eight
at a time; each looks every 10 ms. Both are measured with notifications of the gateway at once, and
late by 0 to 500 ms, when they meet the saga at other places. The row's value is that of one at a
time and notifications at once; its reference eight at a time. PostgreSQL's log must hold no
deadlock, or the row fails.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

from ops.bench.measure import Options, Row, state
from ops.crowd.api import Api
from ops.crowd.buyer import GOOD, Account, sign_up
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.crowd.process import asking
from ops.local.stack import Stack
from ops.plans.square import square_plan

LOOK_S = 0.01
AT_ONCE = 8
LATE_MS = 500
UNLIMITED = {"GATEWAY_LIMIT": "10000", "SAGA_BACKLOG": "1000000"}


def latency(options: Options, var_dir: Path) -> Row:
    plan = var_dir / "plan.json"
    plan.write_text(json.dumps(square_plan(options.bookings * 4 + 8)))
    with Stack(var_dir / "stack", env=UNLIMITED, say=lambda _: None) as stack:
        event = put_on_sale(stack.web_url, new_api_key(stack.database_url), plan, gated=False)
        sale = Sale(stack, event, options)
        alone, together = sale.measure(1), sale.measure(AT_ONCE)
        stack.sandbox.faults(webhook_delay_ms=LATE_MS)
        late = [sale.measure(1), sale.measure(AT_ONCE)]
    row = state(
        "saga.latency",
        "s",
        f"{options.bookings:,} buyers each way; p50 from POST …/payment to confirmed; with late"
        f" notifications {late[0].p50:.3f} s (p99 {late[0].p99:.3f}), and"
        f" {late[1].p50:.3f} s (p99 {late[1].p99:.3f}) {AT_ONCE} at a time",
        [(alone.p50, together.p50)],
        f"{AT_ONCE} at a time",
        "lower",
    )
    return replace(row, value=round(alone.p50, 3), p99=round(alone.p99, 3))


@dataclass(frozen=True)
class Waits:
    """Seconds that buyers waited."""

    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def p99(self) -> float:
        return quantiles(self.seconds, n=100, method="inclusive")[98]


@dataclass
class Sale:
    """Sells seats of one event to buyers who pay a few at a time."""

    stack: Stack
    event: int
    options: Options

    def measure(self, at_once: int) -> Waits:
        waits = Waits(asyncio.run(self._sell(at_once)))
        self.options.say(
            f"  saga.latency, {at_once} at a time: p50 {waits.p50:.3f} s, p99 {waits.p99:.3f} s"
        )
        return waits

    async def _sell(self, at_once: int) -> list[float]:
        turns, waits = iter(range(self.options.bookings)), list[float]()
        with asking(self.stack.web_url, 2 * at_once) as api:

            async def sell_one_after_another() -> None:
                for _ in turns:
                    waits.append(await self._pay(api))

            await asyncio.gather(*(sell_one_after_another() for _ in range(at_once)))
        return waits

    async def _pay(self, api: Api) -> float:
        """Book and pay as a new buyer; the seconds until the booking was confirmed."""
        buyer = await sign_up(api, "Pamina", [f"{uuid.uuid4()}@example.org"])
        bookings = f"/v1/events/{self.event}/bookings"
        wish = {"quantity": 1}
        booked = await api.call(
            "POST", bookings, wish, token=buyer.token, key=str(uuid.uuid4()), expect=(201,)
        )
        booking = f"{bookings}/{booked.body['id']}"
        began = time.monotonic()
        await api.call(
            "POST", f"{booking}/payment", {"payment_method": GOOD},
            token=buyer.token, key=str(uuid.uuid4()), expect=(202,),
        )  # fmt: skip
        while await self._state(api, booking, buyer) != "confirmed":
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began

    async def _state(self, api: Api, booking: str, buyer: Account) -> str:
        return str((await api.call("GET", booking, token=buyer.token)).body["state"])


ROWS: dict[str, Callable[[Options, Path], Row]] = {"saga.latency": latency}
