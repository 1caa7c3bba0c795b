"""Compare this checkout with a commit, row by row, on one machine in one run.

    python -m ops.bench compare <commit> [--rows a,b] [--pairs 5] [--limit 8] [--smallest]
        [--out FILE]

The two versions are measured in pairs; in every other pair the commit is first. Each measurement is
a process `python -m ops.bench ROW` in a copy of that version's files: it is the only interface.
The result is the median of the pairs. A row that fails in the commit is reported as not comparable.
Writes FILE (var/bench-compare.json). Exits with 1 when a row is worse by more than the limit, or
fails in this checkout.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ops.bench import rows
from ops.bench.sizes import COMPARED, add_sizes, as_arguments, read_sizes
from ops.local import trees
from ops.local.servers import stopping_on_signals
from ops.local.supervisor import ROOT

Json = dict[str, Any]

RESULT = ROOT / "var" / "bench-compare.json"
PAIRS = 5
LIMIT_PERCENT = 8.0
SHOWN = 120  # characters of an error


class Broken(Exception):
    """A version failed to measure a row; the message is the last line that it wrote."""


@dataclass(frozen=True)
class Version:
    """The files of a version, and the Python that has its packages."""

    name: str
    tree: Path
    python: Path

    def measure(self, row: str, sizes: Sequence[str]) -> Json:
        """Measure a row; return it as this version writes it to var/bench.json. Errors: Broken."""
        command = [str(self.python), "-m", "ops.bench", row, *sizes]
        done = subprocess.run(command, cwd=self.tree, capture_output=True, text=True)
        if done.returncode:
            (*_, last) = ["", *done.stderr.strip().splitlines()]
            raise Broken(last[:SHOWN] or f"exit code {done.returncode}")
        written = json.loads((self.tree / "var" / "bench.json").read_text())
        found: Json = next(each for each in written if each["name"] == row)
        return found


@dataclass
class Compared:
    """One row of both versions. old, new: the measurements; errors: by version."""

    name: str
    old: list[Json] = field(default_factory=list)
    new: list[Json] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def measure(self, versions: tuple[Version, Version], pairs: int, sizes: Sequence[str]) -> None:
        """Measure both in turn. Where the old version fails, measure the new one only once."""
        sides = dict(zip(("old", "new"), versions, strict=True))
        for number in range(pairs):
            began = time.monotonic()
            for side in sorted(sides, reverse=number % 2 == 0):
                try:
                    getattr(self, side).append(sides[side].measure(self.name, sizes))
                except Broken as error:
                    self.errors[side] = f"{sides[side].name} ends with: {error}"
            if self.errors:
                return
            seconds = time.monotonic() - began
            print(
                f"  {self.name} {number + 1}/{pairs}: {self.told(-1)}, {seconds:.0f} s", flush=True
            )

    def told(self, number: int) -> str:
        old, new = self.old[number], self.new[number]
        return f"{old['value']:,.1f} and now {new['value']:,.1f} {new['unit']}"

    def median(self, side: str, what: str) -> float | None:
        """The median of one side's values or CPU times; None when it has none."""
        found = [row[what] for row in getattr(self, side) if row[what] is not None]
        return median(found) if found else None

    @property
    def worse_percent(self) -> float | None:
        """The median of the pairs; negative means better, None not comparable."""
        if self.errors:
            return None
        pairs = zip(self.old, self.new, strict=True)
        return round(100 * median(worse_by(old, new) for old, new in pairs), 1)

    def outcome(self, limit_percent: float) -> str:
        """Say fails (this checkout), not comparable, worse or good."""
        if self.errors:
            return "fails" if "new" in self.errors else "not comparable"
        assert self.worse_percent is not None
        return "worse" if self.worse_percent > limit_percent else "good"

    def as_json(self, limit_percent: float) -> Json:
        shown = (self.new or self.old or [{}])[0]
        return {
            "name": self.name,
            "outcome": self.outcome(limit_percent),
            "unit": shown.get("unit"),
            "better": shown.get("better"),
            "worse_percent": self.worse_percent,
            **{side: self.median(side, "value") for side in ("old", "new")},
            **{f"{side}_cpu_ms": self.median(side, "cpu_ms") for side in ("old", "new")},
            "pairs": [
                [old["value"], new["value"]]
                for old, new in zip(self.old, self.new, strict=False)
            ],
            "errors": list(self.errors.values()),
        }  # fmt: skip


def worse_by(old: Json, new: Json) -> float:
    """The share of the old value by which the new one is worse; negative means better.

    Where neither more nor less is better, the distance of each from the reference is compared.
    """
    if new["better"] == "higher":
        return float(1 - new["value"] / old["value"])
    if new["better"] == "lower":
        return float(new["value"] / old["value"] - 1)
    aim = new["reference_value"]
    return float(abs(new["value"] / aim - 1) - abs(old["value"] / aim - 1))


def main(arguments: Sequence[str]) -> int:
    args = read_arguments(arguments)
    sizes = list(as_arguments(read_sizes(args, COMPARED)))
    with both_versions(args.commit) as versions:
        compared = [Compared(name) for name in args.rows]
        for row in compared:
            row.measure(versions, args.pairs, sizes)
    result = {
        "commit": versions[0].name,
        "pairs": args.pairs,
        "limit_percent": args.limit,
        "rows": [row.as_json(args.limit) for row in compared],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return int(any(row["outcome"] in ("worse", "fails") for row in result["rows"]))


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.bench compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("commit", help="the other version: anything that git resolves")
    parser.add_argument("--rows", default=",".join(rows.NAMES), help="names, separated by commas")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of each row (default: {PAIRS})")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_PERCENT,
        help=f"percent by which a row may be worse (default: {LIMIT_PERCENT:g})",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULT)
    add_sizes(parser, COMPARED)
    args = parser.parse_args(arguments)
    args.rows = args.rows.split(",")
    rows.check_names(parser, args.rows)
    return args


@contextmanager
def both_versions(commit: str) -> Iterator[tuple[Version, Version]]:
    """The commit, and this checkout with its uncommitted changes."""
    (ROOT / "var").mkdir(exist_ok=True)
    with (
        stopping_on_signals(),
        tempfile.TemporaryDirectory(prefix="bench-compare-", dir=ROOT / "var") as folder,
    ):
        old, new = Path(folder) / "old", Path(folder) / "new"
        name = trees.copy_commit(old, commit)
        trees.copy_checkout(new)
        print(f"{name} beside this checkout", flush=True)
        yield Version(name, old, trees.python_for(old)), Version("this", new, Path(sys.executable))


def table(result: Json) -> str:
    heading = (
        f"\n{'':22}{result['commit']:>12}{'now':>12} {'':14}{'better':8}{'CPU ms':>9}{'now':>9}"
    )
    return "\n".join([heading, *map(line, result["rows"])])


def line(row: Json) -> str:
    values = "".join(f"{figure(row[side], 1):>12}" for side in ("old", "new"))
    spent = "".join(f"{figure(row[f'{side}_cpu_ms'], 3):>9}" for side in ("old", "new"))
    said = "; ".join([row["outcome"], *row["errors"]])
    if (worse := row["worse_percent"]) is not None:
        said = f"{abs(worse):.1f} % {'worse' if worse > 0 else 'better'}"
        said += ", more than the limit" if row["outcome"] == "worse" else ""
    return f"{row['name']:22}{values} {row['unit'] or '':14}{row['better'] or '':8}{spent}  {said}"


def figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
