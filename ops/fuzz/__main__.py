"""`make fuzz`: made-up requests to every operation, by all roles, with every check of schemathesis.

Goes on until there are enough requests. var/fuzz.json has the figures, var/fuzz.md each failure
with a command that repeats it. Exits with 0 only if the figures that have to be 0 are.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask

from ops.deploy.migrate import migrate
from ops.fuzz.run import Size
from ops.fuzz.shares import (
    MOST_EXTRA,
    Share,
    divide,
    environment,
    send_all,
)
from ops.fuzz.tally import ZEROS, Tally, read_reasons, report, summary, tell
from ops.local.servers import Postgres, Redis, stopping_on_signals
from ops.local.supervisor import ROOT
from ops.local.terminal import Progress, print_by_lines
from web.app import create_app

CASES = 20_000
ROUNDS = (Size(coverage=True), Size(examples=60, scenarios=400), Size(examples=30, scenarios=200))
"""The last one again, until there are enough requests."""
PHASES = ("coverage", "fuzzing", "stateful")
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
LOOK_S = 5


def main() -> None:
    print_by_lines()
    args = read_arguments()
    seed = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    again = f"--seed {seed} --processes {args.processes}"
    print(f"seed {seed}: repeat with make fuzz ARGS='{again}'")
    began = time.monotonic()
    try:
        with stopping_on_signals(), serving(args.processes) as urls:
            operations = list_operations(make_app(*urls[0]))
            tally = run(list(shares(args, seed, operations, urls)))
    except KeyboardInterrupt:
        sys.exit("\nStopped, and nothing is left running.")
    judged = choose(operations, args.only)
    result = write(args.out, tally, judged, seed, time.monotonic() - began)
    sys.exit(any(result[name] for name in ZEROS))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--cases", type=int, help=f"at least; default: {CASES:,}, one round of few")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one for each core"
    )
    parser.add_argument(
        "--only", default="", help="operations with this in their name, as in 'PATCH /v1/events'"
    )
    parser.add_argument(
        "--phases", type=lambda text: text.split(","),
        help=f"some of {','.join(PHASES)}; stateful, sequences of all operations, not with --only",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "var", help="folder of the results")
    args = parser.parse_args()
    args.phases = args.phases or [phase for phase in PHASES if phase != "stateful" or not args.only]
    if unknown := set(args.phases) - set(PHASES):
        parser.error(f"there are no phases {', '.join(sorted(unknown))}")
    return args


@contextmanager
def serving(processes: int) -> Iterator[list[tuple[str, str]]]:
    """A database and a Redis for each process: their addresses."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="usher-fuzz-")))
        folder.chmod(0o711)  # as root, the database server is another user
        postgres = closing.enter_context(Postgres(folder / "pg", FAST))
        redis = closing.enter_context(Redis(folder / "redis"))
        urls = []
        for number in range(processes):
            postgres.create_database(f"usher_{number}")
            urls.append((postgres.url_of(f"usher_{number}"), redis.url_of(number)))
            migrate(urls[-1][0])
        yield urls


def make_app(database_url: str, redis_url: str) -> Flask:
    os.environ.update(environment(database_url, redis_url))
    return create_app()


def list_operations(app: Flask) -> list[str]:
    document: Any = app.test_client().get("/openapi.json").json
    methods = ("get", "post", "put", "patch", "delete")
    return [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method in methods
    ]


def choose(operations: Sequence[str], word: str) -> list[str]:
    found = [operation for operation in operations if word in operation]
    if not found:
        sys.exit(f"There is no operation with {word!r} in its name.")
    return found


def shares(
    args: argparse.Namespace, seed: int, operations: Sequence[str], urls: Sequence[tuple[str, str]]
) -> Iterator[Share]:
    """What each process sends."""
    chosen = choose(operations, args.only)
    cases = args.cases if args.cases is not None else 0 if args.only else CASES
    rounds = list(choose_rounds(args.phases, len(urls)))
    for number, mine in enumerate(divide(chosen, len(urls))):
        yield Share(
            number,
            seed + 1000 * number,
            cases // len(urls),
            mine,
            tuple(operation for operation in operations if operation not in mine),
            tuple(rounds if cases else rounds[:-1] or rounds),
            MOST_EXTRA if "fuzzing" in args.phases else 0,
            *urls[number],
        )


def choose_rounds(phases: Sequence[str], processes: int) -> Iterator[Size]:
    for size in ROUNDS:
        part = replace(
            size,
            coverage=size.coverage and "coverage" in phases,
            examples=size.examples if "fuzzing" in phases else 0,
            scenarios=size.scenarios // processes if "stateful" in phases else 0,
        )
        if part.coverage or part.examples or part.scenarios:
            yield part


def run(divided: Sequence[Share]) -> Tally:
    with Progress() as progress:
        progress.say("staging the worlds")
        return send_all(divided, Seldom(progress.say).say)


class Seldom:
    """Passes on a line of some seconds, since requests are counted many times a second; and all
    that has several lines, which are failures."""

    def __init__(self, pass_on: Callable[[str], object]) -> None:
        self.pass_on, self.last = pass_on, time.monotonic()

    def say(self, line: str) -> None:
        if "\n" in line or time.monotonic() - self.last > LOOK_S:
            self.last = time.monotonic()
            self.pass_on(line)


def write(
    folder: Path, tally: Tally, operations: Sequence[str], seed: int, seconds: float
) -> dict[str, Any]:
    """Write the figures and the report, and print what has to be mended."""
    reasons = read_reasons()
    result = summary(tally, operations, reasons, seed) | {"seconds": round(seconds)}
    folder.mkdir(exist_ok=True)
    (folder / "fuzz.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "fuzz.md").write_text("\n".join(report(tally, operations, reasons)) + "\n")
    for line in tell(tally, operations, reasons):
        print(line)
    for name in ("cases", "operations", *ZEROS):
        print(f"{name:22} {result[name]:,}")
    print(f"in {seconds:.0f} s; each failure, and each operation's answers: {folder / 'fuzz.md'}")
    return result


if __name__ == "__main__":
    main()
