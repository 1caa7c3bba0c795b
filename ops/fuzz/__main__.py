"""`make fuzz`: made-up requests to every operation, by all roles, with every check of schemathesis.

Goes on until there are enough requests. var/fuzz.json has the figures, var/fuzz.md each failure
with a command that repeats it. Exits with 0 only if the figures that have to be 0 are.
"""

import argparse
import json
import os
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from flask import Flask
from schemathesis.engine import events

from db.connections import Conn, pool
from db.maintenance.invariants import violations
from ops.deploy.migrate import migrate
from ops.fuzz.run import Sender, Size, send
from ops.fuzz.tally import ZEROS, Tally, read_reasons, summary
from ops.fuzz.world import World
from ops.local.servers import Postgres, Redis, connected
from ops.local.supervisor import ROOT
from ops.local.terminal import Progress, print_by_lines
from web.app import create_app

CASES = 20_000
FIRST = Size(examples=60, scenarios=300)
"""Of the first round; further ones go on without the bounds, until there are enough requests."""
LATER = Size(examples=40, scenarios=200, coverage=False)
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def main() -> None:
    print_by_lines()
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--cases", type=int, default=CASES, help=f"at least; default: {CASES:,}")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    print(f"seed {seed}: repeat with make fuzz ARGS='--seed {seed}'")
    try:
        with serving() as (app, conn):
            result, failures = run(app, conn, seed, args.cases)
    except KeyboardInterrupt:
        sys.exit("\nStopped, and nothing is left running.")
    write(ROOT / "var", result, failures)
    sys.exit(any(result[name] for name in ZEROS))


@contextmanager
def serving() -> Iterator[tuple[Flask, Conn]]:
    """The app, on servers of its own."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="usher-fuzz-")))
        folder.chmod(0o711)  # as root, the database server is another user
        postgres = closing.enter_context(Postgres(folder / "pg", FAST))
        redis = closing.enter_context(Redis(folder / "redis"))
        postgres.create_database("usher")
        url = postgres.url_of("usher")
        os.environ.update(environment(url, redis.url_of(0)))
        migrate(url)
        conn = closing.enter_context(connected(url))
        app = create_app()
        closing.callback(lambda: pool().close())
        yield app, conn


def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Limits are off: all requests come from one address."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secrets.token_urlsafe(32),
        "STRIPE_API_KEY": "sk_test_nothing_is_sent",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_urlsafe(24)}",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "RATE_LIMITS": "off",
        "GATEWAY_LIMIT": "1000",
        "LOG_LEVEL": "error",
    }


def run(app: Flask, conn: Conn, seed: int, cases: int) -> tuple[dict[str, Any], Tally]:
    """Send rounds of requests; the summary, and all that was counted."""
    tally, dice = Tally(), Random(seed)
    operations = list_operations(app)
    with Progress() as progress:
        progress.say("staging the world")
        sender = Sender(World(conn, dice), dice)
        round_ = 0
        while tally.cases < cases:
            size = LATER if round_ else FIRST
            for event in send(app, sender, seed + round_, size):
                if isinstance(event, events.Interrupted):
                    raise KeyboardInterrupt
                tally.take(event, sender.roles)
                progress.say(f"{tally.cases:,} requests, {len(tally.failures):,} failures")
            sender.roles.clear()
            round_ += 1
    result = summary(tally, operations, read_reasons(), seed)
    result["violations"] = [f"{found}" for found in violations(conn)]
    return result, tally


def list_operations(app: Flask) -> list[str]:
    document: Any = app.test_client().get("/openapi.json").json
    methods = ("get", "post", "put", "patch", "delete")
    return [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method in methods
    ]


def write(folder: Path, result: dict[str, Any], tally: Tally) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "fuzz.json").write_text(json.dumps(result, indent=1) + "\n")
    found = [*map(str, tally.failures), *(f"- {error}" for error in tally.errors)]
    (folder / "fuzz.md").write_text("\n".join(["# Failures", *found]) + "\n")
    for name in ("cases", "operations", *ZEROS):
        print(f"{name:22} {result[name]:,}")
    for row in result["rows"]:
        if row["successes"] < 20 and "reason" not in row:
            print(f"  {row['operation']}: {row['successes']} times 2xx: {row['statuses']}")
    for check, count in sorted(result["failed_checks"].items()):
        print(f"  {check}: {count} failures, see {folder / 'fuzz.md'}")


if __name__ == "__main__":
    main()
