"""Draw a seating plan, and print what an import would understand of it.

python -m ops.plans.preview PLAN.json [--out FILE.svg] [--color both|category|rank]
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from db.catalogue.plan_pictures import draw_plan
from db.catalogue.plan_reports import report_plan
from db.catalogue.seating import PlanError, read_plan


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, help="default: var/ and the plan's name")
    parser.add_argument("--color", choices=("both", "category", "rank"), default="both")
    asked = parser.parse_args(arguments)
    try:
        plan = read_plan(asked.plan.read_bytes())
    except OSError as error:
        print(f"The plan cannot be read: {error}", file=sys.stderr)
        return 1
    except PlanError as error:
        print("The seating plan cannot be used:", file=sys.stderr)
        for problem in error.errors:
            print(f"  {problem['path']} {problem['message']}", file=sys.stderr)
        return 1
    out: Path = asked.out or Path("var") / f"{asked.plan.stem}.svg"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(draw_plan(plan, asked.color))
    print("\n".join(describe(report_plan(plan))))
    print(f"Picture: {out}")
    return 0


def describe(report: dict[str, Any]) -> list[str]:
    counts = ", ".join(
        f"{count:,} {kind.replace('_', ' ')}" for kind, count in report["counts"].items() if count
    )
    zones = [
        f"Zone {zone['name'] or '(no name)'}: {zone['seats']:,} seats in {zone['rows']:,} rows, "
        f"row {zone['best_row'] or '(no name)'} first"
        for zone in report["zones"]
    ]
    warnings = [
        f"Warning ({found['kind']}): {found['path']} {found['message']}"
        for found in report["warnings"]
    ]
    return [counts, *zones, *warnings]


if __name__ == "__main__":
    sys.exit(main())
