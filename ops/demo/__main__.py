"""`make demo`: sell an event out on this machine, from queue to inbox, and check the outcome.

Starts everything, puts a plan on sale over HTTP, starts a crowd of buyers, and examines the outcome
from outside. Exits with 0 only if every check holds; var/demo.json has the figures.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from db.catalogue.seating import read_plan
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.crowd.process import crowd
from ops.crowd.told import read_told
from ops.demo.buyer import Told
from ops.demo.check import count_seats, examine
from ops.demo.people import MEAN_QUANTITY
from ops.demo.report import Run, progress_line, summary, text
from ops.local.servers import connected
from ops.local.stack import Stack
from ops.local.supervisor import ROOT

THEATRE = ROOT / "ops" / "plans" / "theatre.json"
BUYERS = 3000
RUSH = 2.5  # seats asked for, divided by seats on sale, for larger plans
LARGE_PLAN = 5000  # seats; selling more takes minutes, so holds are longer
# The sandbox's rate limit is off, so Usher's own is raised too: a demo need not wait for it.
GATEWAY_LIMIT = "200"

Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--plan", type=Path, default=THEATRE, help="a seating plan")
    parser.add_argument("--buyers", type=int, help="default: enough to sell all seats")
    parser.add_argument("--seed", type=int, default=1, help="of the crowd")
    parser.add_argument("--hold-seconds", type=int, help="default: short, for a short demo")
    args = parser.parse_args()
    result = run(args.plan, args.buyers, args.seed, args.hold_seconds, ROOT / "var")
    sys.exit(1 if result["failures"] else 0)


def run(plan: Path, buyers: int | None, seed: int, hold_seconds: int | None, var_dir: Path) -> Json:
    """Run a whole demo; return the object of demo.json."""
    began = time.monotonic()
    seats = len(read_plan(plan.read_bytes()).seats)
    buyers = buyers or max(BUYERS, math.ceil(RUSH * seats / MEAN_QUANTITY))
    print(f"{plan.stem}: {seats:,} seats, {buyers:,} buyers")
    with Stack(var_dir, env={"GATEWAY_LIMIT": GATEWAY_LIMIT}) as stack:
        api_key = new_api_key(stack.database_url)
        options = sale_options(seats, buyers, hold_seconds)
        event_id = put_on_sale(stack.web_url, api_key, plan, **options)
        told, crowd = send_crowd(stack, event_id, buyers, seed)
        with connected(stack.database_url) as conn:
            ledger = stack.sandbox.ledger(by="booking_id")
            found = examine(conn, event_id, told, ledger, stack.catcher_url)
        result = summary(Run(plan, buyers, time.monotonic() - began, crowd), told, found)
    (var_dir / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    print(text(result))
    return result


def sale_options(seats: int, buyers: int, hold_seconds: int | None) -> Json:
    """Holds are short, so that abandoned seats are sold again within the demo. The cap keeps their
    number to what one machine, which runs the crowd too, can process before they expire."""
    large = seats > LARGE_PLAN
    return {
        "on_sale_in_s": 2 + min(buyers / 500, 20),
        "hold_seconds": hold_seconds or (60 if large else 15),
        "in_flight_cap": 300 if large else 150,
    }


def send_crowd(stack: Stack, event_id: int, buyers: int, seed: int) -> tuple[list[Told], Json]:
    """Run the crowd and show its progress; return what each buyer was told, and the last line."""
    results = stack.var_dir / "crowd.jsonl"
    options = ["--event", str(event_id), "--buyers", str(buyers), "--seed", str(seed)]
    with crowd("ops.demo.crowd", stack.web_url, results, *options) as words:
        last_word = show_progress(stack, event_id, words)
    return read_told(results, Told), last_word


def show_progress(stack: Stack, event_id: int, words: Iterator[Json]) -> Json:
    word: Json = {}
    with connected(stack.database_url) as conn, requests.Session() as http:
        for word in words:
            mails = http.get(f"{stack.catcher_url}/count", timeout=10).json()["messages"]
            print(progress_line(count_seats(conn, event_id), word, mails), flush=True)
    return word


if __name__ == "__main__":
    main()
