"""`make chaos`: a sale with faults in every server and process; nothing may be lost or done twice.

    python -m ops.chaos [--seed 7] [--minutes 30] [--bookings 1000] [--form NAME] [--out FILE]

Buyers queue, book directly and with passes, pay and get their e-mails, all over HTTP. Meanwhile:

  - processes of every kind are killed, at random and at each crash point;
  - Redis is flushed, stopped, paused, and restarted empty;
  - Postgres crashes, loses connections during COMMIT, and has no free connections;
  - a transaction holds an old snapshot;
  - messages are delivered again, at once and late;
  - the gateway and the mail server answer late, wrongly or not at all.

Then the faults end, all tasks are finished, and the tables, the gateway and the mails are compared
with what buyers were promised. Exits with 0 only if nothing is wrong; FILE (var/chaos.json) has the
figures. The seed repeats the plan of buyers and faults.
"""

import argparse
import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from db.connections import Conn
from ops.chaos import mail, promises
from ops.chaos.copies import Copies
from ops.chaos.everything import FORMS, MINUTES, long_form
from ops.chaos.mail import Mail
from ops.chaos.money import Campaign, Json, conduct, listed, stack_options
from ops.chaos.plan import Act, Form
from ops.chaos.servers import Servers
from ops.chaos.timeline import Doing
from ops.chaos.wire import Wire
from ops.local.stack import Stack
from ops.local.supervisor import ROOT

SETTINGS = {"max_connections": "120"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--form", choices=FORMS, help="a short form, instead of --minutes")
    parser.add_argument("--bookings", type=int, help="number of buyers (default: by the minutes)")
    parser.add_argument("--seed", type=int, help="default: a new one")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "chaos.json")
    args = parser.parse_args()
    seed = random.randrange(10**6) if args.seed is None else args.seed
    form = FORMS[args.form] if args.form else long_form(args.minutes, args.bookings)
    result = run(form, seed, args.out, ROOT / "var" / "chaos")
    sys.exit(1 if result["failures"] else 0)


def run(
    form: Form, seed: int, out: Path, var_dir: Path, say: Callable[[str], object] = print
) -> Json:
    """Run a whole campaign; return the object that is written to `out`."""
    return conduct(Everything, text, form, seed, out, var_dir, say)


class WiredStack(Stack):
    """A stack whose processes reach Postgres through a wire; observers_url is for observers."""

    def _start_database(self, starting: contextlib.ExitStack) -> None:
        super()._start_database(starting)
        if self.postgres is None:
            sys.exit("a campaign breaks Postgres and Redis: unset DATABASE_URL and REDIS_URL")
        self.wire = starting.enter_context(Wire(self.postgres.port))
        self.observers_url = self.database_url
        self.database_url = self.wire.url_of(self.database_url)


def connect(stack: WiredStack) -> Conn:
    return psycopg.connect(stack.observers_url, autocommit=True, row_factory=dict_row)


@dataclass
class Everything(Campaign):
    """A campaign with faults in the servers too."""

    stack: WiredStack

    def __post_init__(self) -> None:
        super().__post_init__()
        stack = self.stack
        assert stack.postgres and stack.redis
        self.servers = Servers(stack.postgres, stack.wire, stack.redis, stack.observers_url)
        self.mail = Mail(stack.catcher_url, self.seed)
        self.copies = Copies(stack.redis_url, self.seed)
        self.seats: dict[int, int] = {}

    @classmethod
    @contextlib.contextmanager
    def staged(
        cls, form: Form, seed: int, orders: Path, say: Callable[[str], object]
    ) -> Iterator["Everything"]:
        options = stack_options(form, orders, say)
        with WiredStack(orders.parent, postgres_settings=SETTINGS, **options) as stack:
            campaign = cls(stack, connect(stack), form, seed, orders, say)
            yield campaign
            campaign.conn.close()

    @property
    def doings(self) -> dict[str, Doing]:
        return {**super().doings, **self.servers.doings, **self.mail.doings}

    def acts(self) -> list[Act]:
        return [Act(0, "snapshot_held"), *super().acts()]

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        self.seats = promises.count_seats(self.conn)
        copies = self.copies if self.form.copies else contextlib.nullcontext()
        with super().broken(), copies:
            yield
            self.servers.rest()
            self.mail.rest()
        self._connect_again()

    def _connect_again(self) -> None:
        self.conn.close()
        self.conn = connect(self.stack)

    def _tell(self, stages: dict[str, int]) -> None:
        with contextlib.suppress(psycopg.OperationalError):  # Postgres may be down
            self._connect_again()
            super()._tell(stages)
            self._check_seats()

    def _check_seats(self) -> None:
        if (now := promises.count_seats(self.conn)) != self.seats:
            self.failures.append(f"seats of the events: {self.seats}, later {now}")

    def judge(self) -> Json:
        """Run the checks of a campaign of money, and compare with what buyers were promised."""
        self._check_seats()
        money = super().judge()
        kept = promises.examine(self.conn, self.told)
        post = mail.compare(self.conn, self.mail.caught())
        failures = [*money["failures"], *promises.check(kept), *post.missing, *post.doubled]
        return {
            "seed": self.seed,
            "minutes": round((time.monotonic() - self.began) / 60, 1),
            "accepted": kept.accepted.total(),
            "accepted_by_kind": dict(kept.accepted),
            "lost": len(kept.lost) + len(post.missing),
            "doubled": len(kept.doubled) + len(post.doubled),
            "invariant_rows": money["invariant_rows"],
            "difference_minor": money["difference_minor"],
            "ends": money["ends"],
            "turned_away": money["turned_away"],
            "seats": sum(self.seats.values()),
            "mails": {"sent": post.sent, "repeated": post.repeated},
            "faults": {
                **self.servers.broken(),
                "messages_copied": dict(self.copies.done),
                "gateway": money["faults"],
                "mail": dict(self.mail.done),
                "killed": money["killed"],
                "died_at": money["died_at"],
            },
            "failures": failures,
        }


def text(result: Json) -> str:
    """The report that is printed."""
    faults = result["faults"]
    broken = {what: n for what, n in faults.items() if isinstance(n, int)}
    lines = [
        f"  accepted   {result['accepted']}: {listed(result['accepted_by_kind'])}",
        f"  bookings   {listed(result['ends'])}; {result['turned_away']} turned away",
        f"  lost       {result['lost']}, doubled {result['doubled']}",
        f"  invariants {result['invariant_rows']} rows; money differs by"
        f" {result['difference_minor']}; {result['seats']} seats, always",
        f"  e-mails    {result['mails']['sent']} sent, {result['mails']['repeated']} of them came"
        " once more",
        f"  broken     {listed(broken)}",
        f"  copied     {listed(faults['messages_copied'])}",
        f"  gateway    {listed(faults['gateway'])}",
        f"  mail       {listed(faults['mail'])}",
        f"  killed     {listed(faults['killed'])}; {sum(faults['died_at'].values())} more at"
        f" {len(faults['died_at'])} points",
        f"  seed {result['seed']}, {result['seconds']} s",
        *(f"  FAILED: {failure}" for failure in result["failures"]),
    ]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    main()
