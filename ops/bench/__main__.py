"""`make bench`: measure the rows, print a table, write var/bench.json."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ops.bench import (
    archive,
    crowds,
    drain,
    queue_drain,
    queue_fairness,
    queue_http,
    queue_sales,
    saga,
    sale,
)
from ops.bench.measure import Options, Row
from ops.local.stack import alone_in
from ops.local.supervisor import ROOT

ALONE = {
    **drain.ROWS,
    **saga.ROWS,
    **sale.ROWS,
    **queue_fairness.ROWS,
    **queue_sales.ROWS,
    **archive.ROWS,
}
BEFORE_CROWDS = {**queue_http.ROWS, **queue_fairness.BEFORE_CROWDS, **queue_drain.ROWS}
NAMES = [*BEFORE_CROWDS, *ALONE]
RESULT = ROOT / "var" / "bench.json"


def main() -> None:
    args = read_arguments()
    options = Options(**{name: value for name, value in vars(args).items() if name != "row"})
    var_dir = ROOT / "var" / "bench"
    with alone_in(var_dir):
        rows = []
        for row in measure(args.row, options, var_dir):
            write(row, RESULT)
            rows.append(row)
    print(table(rows))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("row", nargs="*", default=NAMES, help="which; all, unless named")
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="of each row; at most 3 of those before crowds")
    add("--seats", type=int, default=50_000, help="of a drained hall")
    add("--bookings", type=int, default=1500, help="of a whole sale")
    add("--reference-seconds", type=float, default=4.0, help="of pgbench a round")
    add("--waiting", type=int, default=1_000_000, help="in the deep queue")
    add("--few", type=int, default=1000, help="that wait in the shallow queue")
    add("--requests", type=int, default=4000, help="over HTTP a round")
    add("--sales", type=int, default=10, help="one after another, for bloat")
    add("--joins", type=int, default=10_000, help="of each of these sales")
    add(
        "--old-bookings",
        type=int,
        default=1_000_000,
        help="of events long over; ten million fit in 20 GB",
    )
    args = parser.parse_args()
    if unknown := set(args.row) - set(NAMES):
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(NAMES)}")
    return args


def measure(names: Sequence[str], options: Options, var_dir: Path) -> Iterator[Row]:
    """The rows of these names; those that need a deep queue share one, which takes long to fill."""
    if wanted := [name for name in BEFORE_CROWDS if name in names]:
        with crowds.gathered(options, var_dir) as both:
            for name in wanted:
                yield BEFORE_CROWDS[name](both)
    for name in ALONE:
        if name in names:
            yield ALONE[name](options, var_dir)


def write(row: Row, path: Path) -> None:
    """Replace the row that was measured; others stay as they were."""
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    known[row.name] = asdict(row)
    path.write_text(json.dumps(list(known.values()), indent=1) + "\n")


def table(rows: Sequence[Row]) -> str:
    """A line a row, and what it is held against."""
    heading = f"\n{'':22}{'':>12} {'':14}{'ratio':>8}{'beside':>12}{'CPU ms':>9}{'beside':>9}"
    return "\n".join([heading, *map(line, rows)])


def line(row: Row) -> str:
    spent = "".join(
        f"{'':9}" if ms is None else f"{ms:9.3f}" for ms in (row.cpu_ms, row.reference_cpu_ms)
    )
    return (
        f"{row.name:22}{row.value:12,.1f} {row.unit:14}{row.ratio:8.2f}{row.reference_value:12,.1f}"
        f"{spent}  {row.reference}"
    )


if __name__ == "__main__":
    main()
