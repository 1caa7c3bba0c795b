"""The buyers of a campaign: a process of its own, that knows nothing but URLs and its plan.

    python -m ops.chaos.crowd --web URL --plan FILE --results FILE

FILE of the plan: {"people": [Person…], "organiser": key,
    "events": [{"id": 1, "gated": true, "passes": false}…]}.
Prints {"stages": {…}} once a second, and ends when every buyer was told an end, or on SIGTERM;
either way it writes what each was told to the other FILE, a JSON object a line (buyer.Told).
"""

import argparse
import asyncio
import contextlib
import signal
from collections import Counter
from pathlib import Path

import aiohttp
import orjson
import uvloop

from ops.chaos.buyer import Buyer
from ops.chaos.plan import Person
from ops.crowd.api import Api

CONNECTIONS = 64
# On a slow machine buyers come more slowly, or nobody would be in time to pay for what they get.
AT_ONCE = 200
TIMEOUT = aiohttp.ClientTimeout(total=30)


async def live(buyer: Buyer, door: asyncio.Semaphore) -> None:
    """One buyer's trouble is a result of the campaign, not its end."""
    await asyncio.sleep(buyer.person.arrives_s)
    try:
        async with door:
            await buyer.act()
        await buyer.watch()
    except Exception as error:
        buyer.told.error = f"{type(error).__name__}: {error}"
        buyer.stage = "done"


async def tell(buyers: list[Buyer]) -> None:
    while True:
        stages = Counter(buyer.stage for buyer in buyers)
        print(orjson.dumps({"stages": stages}).decode(), flush=True)
        await asyncio.sleep(1)


async def run(web_url: str, plan: Path, results: Path) -> None:
    given = orjson.loads(plan.read_bytes())
    people = [Person(**person) for person in given["people"]]
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        api, events = Api(session, web_url), given["events"]
        buyers = [Buyer(api, one, events[one.show], given["organiser"]) for one in people]
        door = asyncio.Semaphore(AT_ONCE)
        everybody = asyncio.gather(*(live(buyer, door) for buyer in buyers))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, everybody.cancel)
        telling = asyncio.create_task(tell(buyers))
        with contextlib.suppress(asyncio.CancelledError):
            await everybody
        telling.cancel()
    with results.open("wb") as file:
        file.writelines(orjson.dumps(buyer.told.as_json()) + b"\n" for buyer in buyers)


def main() -> None:
    parser = argparse.ArgumentParser(description="The buyers of a campaign.")
    parser.add_argument("--web", required=True)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    uvloop.run(run(args.web, args.plan, args.results))


if __name__ == "__main__":
    main()
