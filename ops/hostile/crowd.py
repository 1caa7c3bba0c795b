"""Honest buyers, in a process of their own: they come one after another, join, pay, and note how
long each took.

    python -m ops.hostile.crowd --web URL --event 1 --buyers 1000 --a-second 12 --results FILE
"""

import argparse
import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import uvloop

from ops.crowd.addresses import addresses_of
from ops.crowd.api import Api
from ops.crowd.buyer import GOOD, Account, sign_up
from ops.crowd.process import asking_from, tell
from ops.crowd.told import write_told

CONNECTIONS = 48
SIGN_UPS_AT_ONCE = 8
LOOK_S = 0.15
PATIENCE_S = 60.0


@dataclass
class Served:
    """How a buyer was served, in seconds. outcome: confirmed, or what went wrong."""

    number: int
    outcome: str = ""
    join_s: float = 0.0
    hold_s: float = 0.0
    pay_s: float = 0.0


class Crowd:
    """All buyers of one event."""

    def __init__(self, event_id: int, apis: Callable[[int], Api], buyers: int) -> None:
        self.path = f"/v1/events/{event_id}"
        self.api_of = apis
        self.served = [Served(number) for number in range(buyers)]
        self.accounts: dict[int, Account] = {}

    async def come(self, a_second: float) -> None:
        """Make all accounts; then let buyers come at that rate."""
        slots = asyncio.Semaphore(SIGN_UPS_AT_ONCE)

        async def make(number: int) -> None:
            async with slots:
                self.accounts[number] = await sign_up(
                    self.api_of(number), "Alice", [f"{uuid.uuid4()}@usher.example"]
                )

        await asyncio.gather(*(make(one.number) for one in self.served))
        began = time.monotonic()
        await asyncio.gather(
            *(self._come(one, began + one.number / a_second) for one in self.served)
        )

    async def _come(self, one: Served, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        try:
            await self._buy(one)
        except Exception as error:
            one.outcome = f"{type(error).__name__}: {error}"

    async def _buy(self, one: Served) -> None:
        api, token = self.api_of(one.number), self.accounts[one.number].token
        began = time.monotonic()
        joined = await api.call(
            "POST", f"{self.path}/queue", {"quantity": 1}, token=token, key="join", expect=(201,)
        )
        one.join_s = time.monotonic() - began
        entry = f"{self.path}/queue/{joined.body['id']}"
        found = await self._until(api, token, entry, lambda body: body["state"] != "waiting")
        one.hold_s = time.monotonic() - began
        if not found.get("booking_id"):
            one.outcome = str(found["state"])
            return
        booking, began = f"{self.path}/bookings/{found['booking_id']}", time.monotonic()
        await api.call(
            "POST", f"{booking}/payment", {"payment_method": GOOD}, token=token, key="pay",
            expect=(202,),
        )  # fmt: skip
        under_way = ("authorising", "secured")
        paid = await self._until(api, token, booking, lambda body: body["state"] not in under_way)
        one.pay_s, one.outcome = time.monotonic() - began, str(paid["state"])

    async def _until(
        self, api: Api, token: str, path: str, is_over: Callable[[dict[str, object]], bool]
    ) -> dict[str, object]:
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            body = (await api.call("GET", path, token=token)).body
            if is_over(body) or time.monotonic() > give_up_at:
                return body
            await asyncio.sleep(LOOK_S)


async def run(args: argparse.Namespace) -> None:
    addresses = addresses_of(args.buyers) or ["127.0.0.1"] * args.buyers
    distinct = sorted(set(addresses))
    with asking_from(args.web, CONNECTIONS, distinct) as apis:
        at = dict(zip(distinct, apis, strict=True))
        crowd = Crowd(args.event, lambda number: at[addresses[number]], args.buyers)

        def progress() -> bytes:
            told = Counter(one.outcome for one in crowd.served if one.outcome)
            return orjson.dumps({"told": told, **asdict(apis[0].asked)})

        telling = asyncio.create_task(tell(progress))
        await crowd.come(args.a_second)
        telling.cancel()
        print(progress().decode(), flush=True)
    write_told(args.results, crowd.served)


def main() -> None:
    parser = argparse.ArgumentParser(description="Honest buyers beside attacks.")
    parser.add_argument("--web", required=True, help="the service's URL")
    parser.add_argument("--event", type=int, required=True)
    parser.add_argument("--buyers", type=int, required=True)
    parser.add_argument("--a-second", type=float, required=True)
    parser.add_argument("--results", type=Path, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
