"""`make chaos-money`: a sale with faults at the gateway and killed processes; the books must agree.

    python -m ops.chaos.money [--form short] [--bookings 2000] [--seed 7] [--out FILE]

Buyers pay in every manner, over HTTP. Meanwhile the gateway is slow, fails, or drops the answers to
calls that it has done; notifications come late, twice and in any order; processes are killed. Then
the faults end, all tasks are finished, and the gateway's ledger is compared with the tables. Exits
with 0 only if all agrees; FILE (var/chaos-money.json) has the figures. The seed repeats the plan of
buyers and faults.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from db.connections import Conn
from db.maintenance.invariants import violations
from ops.chaos import verdict
from ops.chaos.buyer import Told
from ops.chaos.forms import FORMS, LIMITS
from ops.chaos.gateway import Gateway
from ops.chaos.met import counted
from ops.chaos.organiser import Shows
from ops.chaos.plan import Act, Form, draw_acts, draw_people
from ops.chaos.processes import Killer
from ops.chaos.quiet import open_ends, turn_clocks, wait_for_quiet
from ops.chaos.timeline import Doing, Timeline
from ops.crowd.process import crowd
from ops.crowd.told import read_told
from ops.local.servers import connected
from ops.local.stack import Stack
from ops.local.supervisor import ROOT

Json = dict[str, Any]

TELL_EVERY_S = 5
STATES = "SELECT state, count(*) AS n FROM bookings GROUP BY state ORDER BY state"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos-money", description=__doc__)
    parser.add_argument("--form", choices=FORMS, default="long")
    parser.add_argument("--bookings", type=int, help="number of buyers (default: the form's)")
    parser.add_argument("--seed", type=int, help="default: a new one")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "chaos-money.json")
    args = parser.parse_args()
    form = FORMS[args.form]
    if args.bookings:
        pace = form.arrive_s / form.bookings
        form = replace(form, bookings=args.bookings, arrive_s=args.bookings * pace)
    seed = random.randrange(10**6) if args.seed is None else args.seed
    result = run(form, seed, args.out, ROOT / "var" / "chaos-money")
    sys.exit(1 if result["failures"] else 0)


def run(
    form: Form, seed: int, out: Path, var_dir: Path, say: Callable[[str], object] = print
) -> Json:
    """Run a whole campaign; return the object that is written to `out`."""
    return conduct(Campaign, text, form, seed, out, var_dir, say)


def conduct(
    kind: "type[Campaign]", text: Callable[[Json], str], form: Form, seed: int, out: Path,
    var_dir: Path, say: Callable[[str], object],
) -> Json:  # fmt: skip
    """Run a campaign of a kind, from starting the servers to the report of `text`."""
    began = time.monotonic()
    say(f"seed {seed}: {form.bookings} buyers over {form.arrive_s:.0f} s")
    orders = var_dir.resolve() / "orders"
    orders.mkdir(parents=True, exist_ok=True)
    with kind.staged(form, seed, orders, say) as campaign:
        campaign.sell()
        campaign.come_to_rest()
        result = campaign.judge() | counted(campaign.conn)
        result |= {"seconds": round(time.monotonic() - began, 1)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    say(text(result))
    return result


def stack_options(form: Form, orders: Path, say: Callable[[str], object]) -> Json:
    env = {"TASK_PACE": str(form.pace), "DIE_AT": str(orders)}
    return {"formation": form.formation, "env": env, "sandbox_options": LIMITS, "say": say}


@dataclass
class Campaign:
    stack: Stack
    conn: Conn
    form: Form
    seed: int
    orders: Path
    say: Callable[[str], object]
    began: float = field(default_factory=time.monotonic)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.stack.sandbox, self.form.faults, self.seed)
        self.killer = Killer(self.stack.supervisor, self.orders)
        self.shows = Shows(self.stack, self.form, self.seed)
        self.told: list[Told] = []
        self._told_at = 0.0
        self._stages: dict[str, int] = {}
        self._moved_at = time.monotonic()

    @classmethod
    @contextmanager
    def staged(
        cls, form: Form, seed: int, orders: Path, say: Callable[[str], object]
    ) -> Iterator["Campaign"]:
        """Start the stack; `orders` is the folder of orders to die at crash points."""
        with (
            Stack(orders.parent, **stack_options(form, orders, say)) as stack,
            connected(stack.database_url) as conn,
        ):
            yield cls(stack, conn, form, seed, orders, say)

    @property
    def doings(self) -> dict[str, Doing]:
        return {**self.gateway.doings, **self.killer.doings, **self.shows.doings}

    def acts(self) -> list[Act]:
        return draw_acts(self.form, self.seed)

    def sell(self) -> None:
        """Run the crowd until every buyer was told an outcome; faults end when all have acted."""
        self.shows.open()
        timeline = Timeline(self.acts(), self.doings)
        with self._crowd(self._write_plan()) as words:
            with self.broken(), timeline:
                for stages in words:
                    self._while_selling(stages)
                    if not stages.get("coming") and not stages.get("acting"):
                        break
                    if self._stands_still(stages):
                        self.failures.append(f"buyers make no progress: {listed(stages)}")
                        break
            self.say("faults are over")
            self._see_out(words)
        self.failures += [f"not done: {error}" for error in timeline.errors]

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Faults that last for the whole block, and end with it."""
        self.gateway.trouble()
        yield
        self.gateway.rest()
        self.killer.rest()

    def _write_plan(self) -> Path:
        """Write the crowd's plan to a file."""
        people = draw_people(self.form, self.seed)
        plan = self.stack.var_dir / "crowd.json"
        plan.write_text(
            json.dumps({
                "people": [asdict(person) for person in people],
                "events": self.shows.listing(),
                "organiser": self.shows.api_key,
            })
        )  # fmt: skip
        return plan

    @contextmanager
    def _crowd(self, plan: Path) -> Iterator[Iterator[dict[str, int]]]:
        """The buyers' process; how many are at which stage, once a second, until it ends."""
        results = self.stack.var_dir / "crowd.jsonl"
        with crowd("ops.chaos.crowd", self.stack.web_url, results, "--plan", str(plan)) as words:
            yield (word["stages"] for word in words)
        self.told = read_told(results, Told)

    def _while_selling(self, stages: dict[str, int]) -> None:
        if time.monotonic() - self._told_at < min(TELL_EVERY_S, self.form.bank_s):
            return
        self._told_at = time.monotonic()
        self.gateway.decide_disputes()
        if self.form.patience_s:
            self._tell(stages)

    def _stands_still(self, stages: dict[str, int]) -> bool:
        """Whether no buyer has made progress for patience_s and the longest hold."""
        if stages != self._stages:
            self._stages, self._moved_at = stages, time.monotonic()
        longest = max(show.hold_seconds for show in self.form.shows)
        return time.monotonic() - self._moved_at > max(longest, self.form.patience_s)

    def _tell(self, stages: dict[str, int]) -> None:
        states = {row["state"]: row["n"] for row in self.conn.execute(STATES)}
        faults = sum(self.gateway.injected().values())
        self.say(
            f"{time.monotonic() - self.began:6.0f} s  buyers {listed(stages)}  bookings"
            f" {listed(states)}  {faults} faults, {self.killer.deaths()} deaths"
        )

    def _see_out(self, words: Iterator[dict[str, int]]) -> None:
        """Wait until every buyer was told an outcome, at most for patience_s."""
        deadline = time.monotonic() + self.form.patience_s
        for stages in words:
            if time.monotonic() > deadline:
                self.failures.append(f"buyers were not told an outcome: {listed(stages)}")
                return
            self._help_on()
            self._while_selling(stages)

    def come_to_rest(self) -> None:
        """Wait until nothing is under way."""
        self.say("waiting until nothing is under way")

        def look() -> dict[str, int]:
            return open_ends(self.conn) | self.gateway.unfinished()

        patience_s = self.form.patience_s
        left = wait_for_quiet(look, self._bring_to_rest, patience_s, self._say_now_and_then)
        late = [f"still open after {patience_s:.0f} s: {n} {what}" for what, n in left.items()]
        self.failures += late

    def _help_on(self) -> None:
        if self.form.hasten:
            turn_clocks(self.conn)

    def _bring_to_rest(self) -> None:
        self._help_on()
        self.gateway.decide_disputes()
        self.shows.pay_what_is_owed()

    def _say_now_and_then(self, what: str) -> None:
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            self.say(f"{time.monotonic() - self.began:6.0f} s  open: {what}")

    def judge(self) -> Json:
        """Compare the gateway's ledger with the tables, and run all other checks."""
        ledger = self.stack.sandbox.ledger(by="booking_id")
        books = verdict.read_books(self.conn)
        pairs = verdict.beside_ledger(books, ledger)
        broken = violations(self.conn)
        failures = [
            *self.failures,
            *verdict.check_agreement(pairs, ledger),
            *verdict.check_ends(pairs),
            *verdict.check_disputes(self.conn, ledger),
            *verdict.check_told(self.told, books),
            *verdict.check_dead_letters(self.conn),
            *(f"invariant {violation}" for violation in broken),
            *self._unexplained(),
        ]
        return {
            "seed": self.seed,
            "bookings": len(books),
            "ends": dict(sorted(Counter(row["state"] for row in books).items())),
            "turned_away": sum(bool(one.turned_away) for one in self.told),
            "faults": self.gateway.injected() | {"gateway_storm": self.gateway.storms},
            "killed": dict(sorted(self.killer.killed.items())),
            "died_at": dict(sorted(self.killer.died.items())),
            "captured_minor": sum(ours["captured"] for ours, _ in pairs),
            "ledger_captured_minor": total(ledger, "captured"),
            "refunded_minor": sum(ours["refunded"] for ours, _ in pairs),
            "ledger_refunded_minor": total(ledger, "refunded"),
            "difference_minor": verdict.difference(pairs),
            "invariant_rows": sum(violation.rows for violation in broken),
            "failures": failures,
        }

    def _unexplained(self) -> Iterator[str]:
        if dead := self.killer.unexplained():
            yield f"{dead} processes ended without an order: see {self.stack.log_dir}"


def total(ledger: Json, what: str) -> int:
    """The total of all currencies in minor units."""
    return sum(currency[what] for currency in ledger["currencies"].values())


def listed(counts: dict[str, int]) -> str:
    return " ".join(f"{n} {name}" for name, n in counts.items() if n)


def text(result: Json) -> str:
    """The report that is printed."""
    lines = [
        f"  bookings   {result['bookings']}: {listed(result['ends'])}",
        f"  faults     {listed(result['faults'])}",
        f"  killed     {listed(result['killed'])}; died at {len(result['died_at'])} points",
        f"  captured   {result['captured_minor']}, the gateway {result['ledger_captured_minor']}",
        f"  refunded   {result['refunded_minor']}, the gateway {result['ledger_refunded_minor']}",
        f"  difference {result['difference_minor']}; rows of invariants {result['invariant_rows']}",
        f"  seed {result['seed']}, {result['seconds']} s",
        *(f"  FAILED: {failure}" for failure in result["failures"]),
    ]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    main()
