"""The buyers of a campaign, in a process of their own that knows only URLs and its plan.

    python -m ops.chaos.crowd --web URL --plan FILE --results FILE

FILE of the plan: {"people": [Person…], "organiser": key,
    "events": [{"id": 1, "gated": true, "passes": false}…]}.
Prints {"stages": {…}} once a second. Ends when every buyer was told an outcome, or on SIGTERM. Then
it writes what each was told to the other FILE, a JSON object a line (buyer.Told).
"""

import argparse
import asyncio
import contextlib
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import orjson
import uvloop

from ops.chaos.buyer import Buyer
from ops.chaos.plan import Person
from ops.crowd.process import asking, tell
from ops.crowd.told import write_told

CONNECTIONS = 64
# Limits the buyers who act at once: on a slow machine, holds would expire before they could pay.
AT_ONCE = 200


async def live(buyer: Buyer, door: asyncio.Semaphore) -> None:
    """Let one buyer act. Its error is recorded in what it was told; the campaign goes on."""
    await asyncio.sleep(buyer.person.arrives_s)
    try:
        async with door:
            await buyer.act()
        await buyer.watch()
    except Exception as error:
        buyer.told.error = f"{type(error).__name__}: {error}"
        buyer.stage = "done"


def progress(buyers: list[Buyer]) -> bytes:
    return orjson.dumps({"stages": Counter(buyer.stage for buyer in buyers)})


async def run(web_url: str, plan: Path, results: Path) -> None:
    given = orjson.loads(plan.read_bytes())
    people = [Person(**person) for person in given["people"]]
    with asking(web_url, CONNECTIONS) as api:
        events = given["events"]
        buyers = [Buyer(api, one, events[one.show], given["organiser"]) for one in people]
        door = asyncio.Semaphore(AT_ONCE)
        lives = asyncio.gather(*(live(buyer, door) for buyer in buyers))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lives.cancel)
        telling = asyncio.create_task(tell(partial(progress, buyers)))
        with contextlib.suppress(asyncio.CancelledError):
            await lives
        telling.cancel()
    write_told(results, (buyer.told for buyer in buyers))


def main() -> None:
    parser = argparse.ArgumentParser(description="The buyers of a campaign.")
    parser.add_argument("--web", required=True)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    uvloop.run(run(args.web, args.plan, args.results))


if __name__ == "__main__":
    main()
