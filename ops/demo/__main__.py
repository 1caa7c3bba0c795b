"""`make demo`: sell an event out on this machine, from queue to inbox, and check the outcome.

Starts everything, puts a plan on sale over HTTP, starts a crowd of buyers, and examines the outcome
from outside. Exits with 0 only if every check holds; var/demo.json has the figures.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from db.catalogue.seating import PlanError, read_plan
from ops.crowd.organiser import Organiser, new_api_key, put_on_sale
from ops.demo.check import check_limits, examine, wait_until_quiet
from ops.demo.meter import Meter, children_s
from ops.demo.pace import FIRST_CAP, Pace
from ops.demo.people import MEAN_QUANTITY
from ops.demo.report import Run, next_steps, summary, text
from ops.demo.watch import Watch
from ops.local.servers import connected
from ops.local.stack import Stack
from ops.local.supervisor import ROOT
from ops.local.terminal import Progress, print_by_lines
from ops.plans.arena import arena

THEATRE = ROOT / "ops" / "plans" / "theatre.json"
BUYERS = 3000
RUSH = 2.5  # seats asked for, divided by seats on sale, for larger plans
LARGE_PLAN = 5000  # seats; selling more takes minutes, so holds are longer
# A booking must be paid within its hold on a busy machine too. How busy it is shows in how long
# everything took to start: about 8 s on two quiet cores, and much longer beside other work.
HOLD_PER_START = 2.0
SHORTEST_HOLD_S, SHORTEST_HOLD_OF_LARGE_S, LONGEST_HOLD_S = 15, 60, 300
ENV = {
    # The sandbox's rate limit is off, so Usher's own is raised too: a demo need not wait for it.
    "GATEWAY_LIMIT": "1000",
    # While buyers make their accounts, and when they are told, almost all work is that of the web
    # processes: one of them would leave a core idle.
    "WEB_CONCURRENCY": "2",
}

Json = dict[str, Any]


def main() -> None:
    print_by_lines()
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--plan", type=Path, default=THEATRE, help="a seating plan")
    parser.add_argument("--seats", type=positive, help="an arena of so many seats, not a plan")
    parser.add_argument("--buyers", type=positive, help="default: enough to sell all seats")
    parser.add_argument("--seed", type=int, default=1, help="of the crowd")
    parser.add_argument("--hold-seconds", type=positive, help="default: by the machine's pace")
    parser.add_argument("--no-proxy", action="store_true", help="web processes only, no limits")
    args = parser.parse_args()
    var_dir, proxied = ROOT / "var", not args.no_proxy
    plan = draw_arena(args.seats, var_dir) if args.seats else args.plan
    try:
        result = run(plan, args.buyers, args.seed, args.hold_seconds, var_dir, proxied=proxied)
    except KeyboardInterrupt:
        sys.exit("\nStopped, and nothing is left running.")
    sys.exit(1 if result["failures"] else 0)


def positive(text: str) -> int:
    """A whole number above 0. Errors: ValueError, which argparse tells."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def draw_arena(seats: int, var_dir: Path) -> Path:
    """Write the plan of an arena."""
    var_dir.mkdir(exist_ok=True)
    plan = var_dir / "arena.json"
    plan.write_text(json.dumps(arena(seats)))
    return plan


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
        Stack(var_dir, proxied=proxied, env=ENV, say=progress.say) as stack,
        connected(stack.database_url) as conn,
    ):
        meter = Meter(stack.pids, began)
        options = sale_options(seats, buyers, hold_seconds, time.monotonic() - began)
        progress.say(f"putting the event on sale: holds last {options['hold_seconds']} s")
        key = new_api_key(stack.database_url)
        event_id = put_on_sale(stack.web_url, key, plan, **options)
        pace = Pace(Organiser(stack.web_url, key), event_id, options["hold_seconds"])
        meter.end_phase("start", conn, children_s())
        told, crowd = Watch(stack, conn, meter, pace, progress.say).sell(event_id, buyers, seed)
        late = wait_until_quiet(conn, progress.say)
        ledger = stack.sandbox.ledger(by="booking_id")
        found = examine(conn, event_id, told, ledger, var_dir / "mail", progress.say)
        found.failures[:0] = [*late, *check_limits(crowd["limited"])]
        meter.end_phase("checks", conn)
        result = summary(Run(plan, buyers, time.monotonic() - began, crowd, meter), told, found)
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
    """Holds are short, so that abandoned seats are sold again within the demo. How many there may
    be at first; then Pace keeps their number to what is paid before they expire. start_s: how long
    the start took."""
    large = seats > LARGE_PLAN
    shortest = SHORTEST_HOLD_OF_LARGE_S if large else SHORTEST_HOLD_S
    suitable = min(max(math.ceil(HOLD_PER_START * start_s), shortest), LONGEST_HOLD_S)
    return {
        "on_sale_in_s": 2 + min(buyers / 500, 20),
        "hold_seconds": hold_seconds or suitable,
        "in_flight_cap": FIRST_CAP,
    }


if __name__ == "__main__":
    main()
