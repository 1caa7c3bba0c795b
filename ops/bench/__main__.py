"""`make bench`: measure the rows, print a table, write var/bench.json."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ops.bench import drain, sale
from ops.bench.measure import Options, Row
from ops.stack import alone_in
from ops.supervisor import ROOT

ROWS = {**drain.ROWS, **sale.ROWS}
RESULT = ROOT / "var" / "bench.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("row", nargs="*", default=list(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seats", type=int, default=50_000, help="of the drained hall")
    parser.add_argument("--bookings", type=int, default=1500, help="of a whole sale")
    parser.add_argument("--reference-seconds", type=float, default=4.0, help="of pgbench a round")
    args = parser.parse_args()
    if unknown := set(args.row) - set(ROWS):
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(ROWS)}")
    options = Options(args.rounds, args.seats, args.bookings, args.reference_seconds)
    var_dir = ROOT / "var" / "bench"
    with alone_in(var_dir):
        rows = [ROWS[name](options, var_dir) for name in args.row]
    write(rows, RESULT)
    print(table(rows))


def write(rows: Sequence[Row], path: Path) -> None:
    """Replace the rows that were measured; others stay as they were."""
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    known |= {row.name: asdict(row) for row in rows}
    path.write_text(json.dumps(list(known.values()), indent=1) + "\n")


def table(rows: Sequence[Row]) -> str:
    lines = [f"\n{'':16}{'':>12} {'':14}{'pgbench -N':>12}{'ratio':>8}{'CPU ms':>9}{'beside':>9}"]
    lines += [
        f"{row.name:16}{row.value:12,.1f} {row.unit:14}{row.reference_value:12,.1f}"
        f"{row.ratio:8.2f}{row.cpu_ms:9.3f}{row.reference_cpu_ms:9.3f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
