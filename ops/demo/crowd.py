"""The crowd: a process of its own, which shares only the service's URL with the service.

    python -m ops.demo.crowd --web URL --event 1 --buyers 3000 --seed 1 --results FILE

Prints one JSON object a second: how many buyers are at which stage, and what they were told. Writes
the outcome of each buyer to FILE, a JSON object a line (see buyer.Told).
"""

import argparse
import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import orjson
import uvloop

from ops.crowd.addresses import addresses_of
from ops.crowd.api import Api, Board, Edge
from ops.crowd.process import asking, asking_from, tell
from ops.crowd.told import write_told
from ops.demo.buyer import Buyer, Sale
from ops.demo.people import Hall, Person, gather

CONNECTIONS = 48
LOOK_FOR_OPENING_S = 0.5


class Crowd:
    """All buyers, and how far each of them is. `opening`: when the sale opens; it may open earlier
    than was announced, and never later."""

    def __init__(self, sale: Sale, people: list[Person], api_of: Callable[[Person], Api]) -> None:
        self.sale = sale
        self.buyers = [Buyer(sale, person, api_of(person)) for person in people]
        self.opening: float | None = None
        self._open = asyncio.Event()

    async def sell_out(self) -> None:
        """Let all buyers buy. The late ones come beside the others: half of them when no seat is
        free, so that they wait with those who hope for held ones; the rest when the queue has
        ended, for seats that only they ask for."""
        opening = asyncio.create_task(self._watch_opening())
        late = [buyer for buyer in self.buyers if buyer.person.late]
        in_time = [buyer for buyer in self.buyers if not buyer.person.late]
        others = asyncio.create_task(self._all(in_time, self._attend))
        half, board = len(late) // 2, self.sale.board
        await asyncio.gather(
            opening,
            others,
            self._come_late(late[:half], board.full, others),
            self._come_late(late[half:], board.ended, others),
        )

    async def _watch_opening(self) -> None:
        """Look how long it is until the sale opens, until it does."""
        while not self._open.is_set():
            event = (await self.sale.api.call("GET", self.sale.path)).body
            left = seconds_until_sale(event)
            self.opening = time.monotonic() + left
            await asyncio.sleep(min(left, LOOK_FOR_OPENING_S))
            if left <= LOOK_FOR_OPENING_S:
                self.sale.opened_at = self.opening
                self._open.set()

    async def _all(self, buyers: Iterable[Buyer], act: Callable[[Buyer], Awaitable[None]]) -> None:
        await asyncio.gather(*map(act, buyers))

    async def _attend(self, buyer: Buyer) -> None:
        await self._sign_up(buyer)
        await self._open.wait()
        assert self.opening is not None
        await asyncio.sleep(self.opening + buyer.person.arrives_s - time.monotonic())
        await self._guarded_buy(buyer)

    async def _come_late(
        self, late: list[Buyer], moment: asyncio.Event, others: asyncio.Task[None]
    ) -> None:
        """Let late buyers come at a moment, or when the others are done."""
        signing_up = asyncio.create_task(self._all(late, self._sign_up))
        waiting = asyncio.create_task(moment.wait())
        await asyncio.wait([waiting, others], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await signing_up
        await self.sale.edge.get(f"{self.sale.path}/availability", fresh=True)
        await self._all(late, self._guarded_buy)

    async def _sign_up(self, buyer: Buyer) -> None:
        with noting_errors(buyer):
            await buyer.sign_up()
            buyer.stage = "signed up"

    async def _guarded_buy(self, buyer: Buyer) -> None:
        if not buyer.told.outcome:
            with noting_errors(buyer):
                await buyer.buy()

    def progress(self) -> bytes:
        told = Counter(buyer.told.outcome for buyer in self.buyers if buyer.told.outcome)
        stages = Counter(buyer.stage for buyer in self.buyers)
        since = None if self.opening is None else round(time.monotonic() - self.opening, 1)
        asked = asdict(self.sale.api.asked) | {"cpu_s": time.process_time()}
        return orjson.dumps({"since_opening_s": since, "stages": stages, "told": told, **asked})


@contextlib.contextmanager
def noting_errors(buyer: Buyer) -> Iterator[None]:
    """Record an error of one buyer as its outcome; the demo goes on."""
    try:
        yield
    except Exception as error:
        buyer.told.outcome, buyer.stage = "error", "done"
        buyer.told.reason = f"{type(error).__name__}: {error}"


def seconds_until_sale(event: dict[str, str]) -> float:
    opening = datetime.fromisoformat(event["on_sale_at"])
    now = datetime.fromisoformat(event["server_time"])
    return max(0.0, (opening - now).total_seconds())


@contextlib.contextmanager
def asking_each(
    web_url: str, buyers: int, from_one: bool
) -> Iterator[tuple[Api, Callable[[Person], Api]]]:
    """An Api for what all buyers share, and the one of each buyer: at its own address."""
    addresses = [] if from_one else addresses_of(buyers)
    if not addresses:
        with asking(web_url, CONNECTIONS) as api:
            yield api, lambda _: api
        return
    distinct = sorted(set(addresses))
    with asking_from(web_url, CONNECTIONS, distinct) as apis:
        at = dict(zip(distinct, apis, strict=True))
        yield apis[0], lambda person: at[addresses[person.number]]


async def run(args: argparse.Namespace) -> None:
    with asking_each(args.web, args.buyers, args.from_one_address) as (api, api_of):
        edge = Edge(api)
        path = f"/v1/events/{args.event}"
        hall = Hall((await edge.get(f"{path}/seats"))["seats"])
        hold_seconds = (await edge.get(path))["hold_seconds"]
        board = Board(edge, args.event)
        sale = Sale(api, edge, board, hall, args.event, hold_seconds, secrets.token_hex(3))
        crowd = Crowd(sale, gather(args.buyers, args.seed, hall, args.trickle), api_of)
        helpers = [asyncio.create_task(board.watch()), asyncio.create_task(tell(crowd.progress))]
        await first_of(asyncio.create_task(crowd.sell_out()), *helpers)
        print(crowd.progress().decode(), flush=True)
    write_told(args.results, (buyer.told for buyer in crowd.buyers))


async def first_of(*tasks: asyncio.Task[None]) -> None:
    """Wait until one task ends, and cancel the others. Errors: those of the task."""
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


def main() -> None:
    parser = argparse.ArgumentParser(description="A crowd of buyers.")
    parser.add_argument("--web", required=True, help="the service's URL")
    parser.add_argument("--event", type=int, required=True)
    parser.add_argument("--buyers", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trickle", type=float, default=8, help="seconds until the last comes")
    parser.add_argument("--from-one-address", action="store_true", help="where limits are off")
    parser.add_argument("--results", type=Path, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
