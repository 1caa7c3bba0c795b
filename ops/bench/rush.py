"""Buyers of free pairs, in a process of their own.

    python -m ops.bench.rush --web URL --buyers 1500

Signs all buyers up and prints a line. Then, for each event id on its standard input, all buyers
join that event's queue at once and wait for their outcome; prints how many were booked.
"""

import argparse
import asyncio
import secrets
import sys

import uvloop

from ops.crowd.api import Api, Board, Edge
from ops.crowd.buyer import sign_up
from ops.crowd.process import asking

CONNECTIONS = 48
LONGEST_WAIT_S = 60


async def run(web_url: str, buyers: int) -> None:
    with asking(web_url, CONNECTIONS) as api:
        prefix = secrets.token_hex(4)
        accounts = await asyncio.gather(
            *(sign_up(api, f"Buyer {n}", [f"{prefix}-{n}@usher.example"]) for n in range(buyers))
        )
        tokens = [account.token for account in accounts]
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await rush(api, int(line), tokens), flush=True)


async def rush(api: Api, event_id: int, tokens: list[str]) -> int:
    """Let every buyer ask for two seats that need not be adjacent; count those who were booked."""
    board = Board(Edge(api), event_id)
    watching = asyncio.create_task(board.watch())
    booked = await asyncio.gather(*(get_pair(api, board, event_id, token) for token in tokens))
    watching.cancel()
    return sum(booked)


async def get_pair(api: Api, board: Board, event_id: int, token: str) -> bool:
    path = f"/v1/events/{event_id}/queue"
    answer = await api.call(
        "POST", path, {"quantity": 2}, token=token, key=f"join-{event_id}", expect=(201,)
    )
    entry = answer.body
    while entry["state"] in ("waiting", "standby"):
        await board.wait_for(entry["number"], LONGEST_WAIT_S)
        entry = (await api.call("GET", f"{path}/{entry['id']}", token=token)).body
    return bool(entry["state"] == "booked")


def main() -> None:
    parser = argparse.ArgumentParser(description="A rush for free pairs.")
    parser.add_argument("--web", required=True)
    parser.add_argument("--buyers", type=int, required=True)
    args = parser.parse_args()
    uvloop.run(run(args.web, args.buyers))


if __name__ == "__main__":
    main()
