"""`make demo`: sell an event out on this machine, from queue to inbox, and check the outcome.

Starts everything, puts a plan on sale over HTTP, starts a crowd of buyers, and examines the outcome
from outside. Exits with 0 only if every check holds; var/demo.json has the figures.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from db.catalogue.seating import PlanError, read_plan
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.crowd.process import crowd
from ops.crowd.told import read_told
from ops.demo.buyer import Told
from ops.demo.check import check_limits, count_seats, examine, wait_until_quiet
from ops.demo.people import MEAN_QUANTITY
from ops.demo.report import Run, next_steps, progress_line, summary, text
from ops.local.servers import connected
from ops.local.stack import Stack
from ops.local.supervisor import ROOT
from ops.local.terminal import Progress, print_by_lines

THEATRE = ROOT / "ops" / "plans" / "theatre.json"
BUYERS = 3000
RUSH = 2.5  # seats asked for, divided by seats on sale, for larger plans
LARGE_PLAN = 5000  # seats; selling more takes minutes, so holds are longer
# A booking must be paid within its hold on a busy machine too. How busy it is shows in how long
# everything took to start: about 8 s on two quiet cores, and much longer beside other work.
HOLD_PER_START = 2.0
SHORTEST_HOLD_S, SHORTEST_HOLD_OF_LARGE_S, LONGEST_HOLD_S = 15, 60, 300
# The sandbox's rate limit is off, so Usher's own is raised too: a demo need not wait for it.
GATEWAY_LIMIT = "200"

Json = dict[str, Any]


def main() -> None:
    print_by_lines()
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--plan", type=Path, default=THEATRE, help="a seating plan")
    parser.add_argument("--buyers", type=positive, help="default: enough to sell all seats")
    parser.add_argument("--seed", type=int, default=1, help="of the crowd")
    parser.add_argument("--hold-seconds", type=positive, help="default: by the machine's pace")
    parser.add_argument("--no-proxy", action="store_true", help="web processes only, no limits")
    args = parser.parse_args()
    proxied = not args.no_proxy
    try:
        result = run(
            args.plan, args.buyers, args.seed, args.hold_seconds, ROOT / "var", proxied=proxied
        )
    except KeyboardInterrupt:
        sys.exit("\nStopped, and nothing is left running.")
    sys.exit(1 if result["failures"] else 0)


def positive(text: str) -> int:
    """A whole number above 0. Errors: ValueError, which argparse tells."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def run(
    plan: Path, buyers: int | None, seed: int, hold_seconds: int | None, var_dir: Path, *,
    proxied: bool = True,
) -> Json:  # fmt: skip
    """Run a whole demo; return the object of demo.json."""
    began = time.monotonic()
    seats = count_seats_of(plan)
    buyers = buyers or max(BUYERS, math.ceil(RUSH * seats / MEAN_QUANTITY))
    print(f"{plan.stem}: {seats:,} seats, {buyers:,} buyers")
    with (
        Progress() as progress,
        Stack(
            var_dir, proxied=proxied, env={"GATEWAY_LIMIT": GATEWAY_LIMIT}, say=progress.say
        ) as stack,
    ):
        options = sale_options(seats, buyers, hold_seconds, time.monotonic() - began)
        progress.say(f"putting the event on sale: holds last {options['hold_seconds']} s")
        event_id = put_on_sale(stack.web_url, new_api_key(stack.database_url), plan, **options)
        told, crowd = send_crowd(stack, event_id, buyers, seed, progress.say)
        with connected(stack.database_url) as conn:
            late = wait_until_quiet(conn, progress.say)
            ledger = stack.sandbox.ledger(by="booking_id")
            found = examine(conn, event_id, told, ledger, stack.catcher_url, progress.say)
            found.failures[:0] = [*late, *check_limits(crowd["limited"])]
        result = summary(Run(plan, buyers, time.monotonic() - began, crowd), told, found)
    (var_dir / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    print(text(result) + next_steps(result))
    return result


def count_seats_of(plan: Path) -> int:
    """Read a plan's file; a file that cannot be read or understood ends the program."""
    try:
        return len(read_plan(plan.read_bytes()).seats)
    except OSError as error:
        sys.exit(f"The plan cannot be read: {error}")
    except PlanError as error:
        sys.exit(f"{plan} is not a seating plan that can be sold: {error}")


def sale_options(seats: int, buyers: int, hold_seconds: int | None, start_s: float) -> Json:
    """Holds are short, so that abandoned seats are sold again within the demo. The cap keeps their
    number to what one machine, which runs the crowd too, can process before they expire. start_s:
    how long the start took."""
    large = seats > LARGE_PLAN
    shortest = SHORTEST_HOLD_OF_LARGE_S if large else SHORTEST_HOLD_S
    suitable = min(max(math.ceil(HOLD_PER_START * start_s), shortest), LONGEST_HOLD_S)
    return {
        "on_sale_in_s": 2 + min(buyers / 500, 20),
        "hold_seconds": hold_seconds or suitable,
        "in_flight_cap": 300 if large else 150,
    }


def send_crowd(
    stack: Stack, event_id: int, buyers: int, seed: int, say: Callable[[str, str], object]
) -> tuple[list[Told], Json]:
    """Run the crowd and show its progress; return what each buyer was told, and the last line."""
    results = stack.var_dir / "crowd.jsonl"
    options = ["--event", str(event_id), "--buyers", str(buyers), "--seed", str(seed)]
    options += [] if stack.proxied else ["--from-one-address"]
    coming = f"{buyers:,} buyers come"
    say(coming, coming)
    with crowd("ops.demo.crowd", stack.web_url, results, *options) as words:
        last_word = show_progress(stack, event_id, words, say)
    return read_told(results, Told), last_word


def show_progress(
    stack: Stack, event_id: int, words: Iterator[Json], say: Callable[[str, str], object]
) -> Json:
    word: Json = {}
    with connected(stack.database_url) as conn, requests.Session() as http:
        for word in words:
            mails = http.get(f"{stack.catcher_url}/count", timeout=10).json()["messages"]
            line, doing = progress_line(count_seats(conn, event_id), word, mails)
            say(line, doing)
    return word


if __name__ == "__main__":
    main()
