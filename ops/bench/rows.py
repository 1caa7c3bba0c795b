"""All rows, by name."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from ops.bench import (
    archive,
    crowds,
    drain,
    idle,
    lanes,
    latency,
    queue_drain,
    queue_fairness,
    queue_http,
    queue_sales,
    saga,
    sale,
    search,
    web_http,
)
from ops.bench.measure import Options, Row

ALONE = {
    **drain.ROWS,
    **lanes.ROWS,
    **saga.ROWS,
    **latency.ROWS,
    **sale.ROWS,
    **queue_fairness.ROWS,
    **queue_sales.ROWS,
    **archive.ROWS,
    **search.ROWS,
    **idle.ROWS,
}
BEFORE_CROWDS = {
    **queue_http.ROWS,
    **web_http.ROWS,
    **queue_fairness.BEFORE_CROWDS,
    **queue_drain.ROWS,
}
NAMES = [*BEFORE_CROWDS, *ALONE]


def measure(names: Sequence[str], options: Options, var_dir: Path) -> Iterator[Row]:
    """Measure the named rows. Those that need a deep queue share one: filling it takes long."""
    if wanted := [name for name in BEFORE_CROWDS if name in names]:
        with crowds.gathered(options, var_dir) as both:
            for name in wanted:
                yield BEFORE_CROWDS[name](both)
    for name in ALONE:
        if name in names:
            yield ALONE[name](options, var_dir)


def check_names(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Exit with a message when a row does not exist."""
    if unknown := set(names) - set(NAMES):
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(NAMES)}")
