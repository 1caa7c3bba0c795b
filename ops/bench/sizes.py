"""How often rows are measured and with how much: the sizes that the command line can change."""

import argparse
from collections.abc import Iterator
from dataclasses import fields, replace

from ops.bench.measure import Options

USUAL = Options(
    rounds=5, seats=50_000, bookings=1500, reference_seconds=4, waiting=1_000_000, few=1000,
    requests=4000, sales=10, joins=10_000, old_bookings=1_000_000,
)  # fmt: skip
# Each row is measured ten times, five for each version, and fills its tables anew each time.
COMPARED = replace(
    USUAL, rounds=1, reference_seconds=1, bookings=500, waiting=100_000, sales=3, joins=4000,
    old_bookings=100_000,
)  # fmt: skip
# Too small for meaningful figures; for finding out whether every row works.
SMALLEST = Options(
    rounds=1, seats=2000, bookings=24, reference_seconds=1, waiting=1000, few=100, requests=100,
    sales=2, joins=500, old_bookings=4000,
)  # fmt: skip

MEANINGS = {
    "rounds": "of each row; at most 3 of those that need a deep queue",
    "seats": "of a drained event",
    "bookings": "of a whole sale",
    "reference_seconds": "of pgbench a round",
    "waiting": "in the deep queue",
    "few": "in the shallow queue",
    "requests": "over HTTP a round",
    "sales": "one after another, for bloat",
    "joins": "of each of these sales",
    "old_bookings": "of events long over; ten million fit in 20 GB",
}


def add_sizes(parser: argparse.ArgumentParser, usual: Options) -> None:
    """Add an option for each size, and one that selects the smallest sizes."""
    parser.add_argument("--smallest", action="store_true", help="all sizes; quick, no real figures")
    for name, meaning in MEANINGS.items():
        default = getattr(usual, name)
        parser.add_argument(
            option(name), type=type(default), help=f"{meaning} (default: {default:,})"
        )


def read_sizes(args: argparse.Namespace, usual: Options) -> Options:
    """The sizes given on the command line, else the usual or the smallest ones."""
    given = {name: getattr(args, name) for name in MEANINGS if getattr(args, name) is not None}
    return replace(SMALLEST if args.smallest else usual, **given)


def as_arguments(sizes: Options) -> Iterator[str]:
    """The sizes as arguments of `python -m ops.bench`; earlier versions know them too."""
    for field in fields(sizes):
        if field.name in MEANINGS:
            yield from (option(field.name), str(getattr(sizes, field.name)))


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
