"""`make bench`: measure the rows, print a table, write var/bench.json.

`python -m ops.bench compare <commit>` compares this checkout with another version instead.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ops.bench import compare, rows
from ops.bench.measure import Row
from ops.bench.sizes import USUAL, add_sizes, read_sizes
from ops.local.stack import alone_in
from ops.local.supervisor import ROOT

RESULT = ROOT / "var" / "bench.json"


def main() -> None:
    if sys.argv[1:2] == ["compare"]:
        sys.exit(compare.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("row", nargs="*", default=rows.NAMES, help="rows to measure (default: all)")
    add_sizes(parser, USUAL)
    args = parser.parse_args()
    rows.check_names(parser, args.row)
    var_dir = ROOT / "var" / "bench"
    measured = []
    with alone_in(var_dir):
        for row in rows.measure(args.row, read_sizes(args, USUAL), var_dir):
            write(row, RESULT)
            measured.append(row)
    print(table(measured))


def write(row: Row, path: Path) -> None:
    """Replace the row that was measured and keep the others."""
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    known[row.name] = asdict(row)
    path.write_text(json.dumps(list(known.values()), indent=1) + "\n")


def table(rows: Sequence[Row]) -> str:
    """Format one line for each row, with the reference beside it."""
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
