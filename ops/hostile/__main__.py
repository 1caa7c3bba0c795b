"""`make hostile`: attacks with what is allowed, against everything that runs, with limits on.

    python -m ops.hostile [--only WORD] [--buyers 1000] [--without-nginx] [--out FILE]

Starts everything as `make run` does, and nginx with the configuration that is shipped. First honest
buyers are served in peace, then beside many attacks at once; then each attack is carried out alone.
A row says what was measured and the bound. Exits with 0 only if all bounds held; FILE
(var/hostile.json) has {attacks, held, failed, rows}.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ops.hostile import honest
from ops.hostile.scene import Scene, staged
from ops.hostile.table import ATTACKS, Attack, Row, carry_out, row_of
from ops.local.supervisor import ROOT
from ops.local.terminal import print_by_lines

Json = dict[str, Any]

FILES = (
    "caches", "cards", "seats", "mails", "backlogs", "protocol", "sign_ins", "codes", "sessions",
    "staff", "providers", "addresses",
)  # fmt: skip
BUYERS, A_SECOND = 1000, 12.0
NO_NGINX = "nginx is not installed: install it, or leave its attacks out with --without-nginx"


def main() -> None:
    print_by_lines()
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument(
        "--only", help="attacks whose name or entry has this word; no honest buyers"
    )
    parser.add_argument("--buyers", type=int, default=BUYERS, help="honest ones; 0: none")
    parser.add_argument("--a-second", type=float, default=A_SECOND, help="so many of them come")
    parser.add_argument("--without-nginx", action="store_true", help="leave its attacks out")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "hostile.json")
    args = parser.parse_args()
    chosen = choose(args.only, nginx=not args.without_nginx)
    buyers = 0 if args.only else args.buyers
    try:
        result = run(chosen, buyers, args.a_second, args.out, ROOT / "var" / "hostile")
    except KeyboardInterrupt:
        sys.exit("\nStopped, and nothing is left running.")
    sys.exit(1 if result["failed"] else 0)


def choose(word: str | None = None, *, nginx: bool = True) -> list[Attack]:
    """The attacks whose name or entry has a word, in the order of the files."""
    for file in FILES:
        importlib.import_module(f"ops.hostile.{file}")
    found = [
        attack
        for attack in ATTACKS.values()
        if (nginx or not attack.needs_nginx)
        and (not word or word.lower() in f"{attack.name} {attack.entry}".lower())
    ]
    if not found:
        sys.exit(f"There is no attack with {word!r} in its name or entry.")
    return found


def run(
    chosen: Sequence[Attack], buyers: int, a_second: float, out: Path, var_dir: Path,
    say: Callable[[str], object] = print,
) -> Json:  # fmt: skip
    """Run a whole campaign; return the object that is written to `out`."""
    began, rows, figures = time.monotonic(), list[Row](), Json()
    with staged(var_dir, nginx=any(a.needs_nginx for a in chosen), say=say) as scene:
        if buyers:
            served, figures = honest.compare(scene, buyers, a_second, say)
            rows += tell(served, say)
        rows += tell(carry_out_all(chosen, scene), say)
    result = summary(rows, figures, time.monotonic() - began)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    say(f"\n{result['held']} of {result['attacks']} held, in {result['seconds']:.0f} s; {out}")
    return result


def tell(rows: "Sequence[Row] | Iterator[Row]", say: Callable[[str], object]) -> Iterator[Row]:
    for row in rows:
        say(row.text())
        yield row


def carry_out_all(chosen: Sequence[Attack], scene: Scene) -> Iterator[Row]:
    """Carry attacks out one after another; those that mostly wait go on beside them."""
    with ThreadPoolExecutor(len(chosen)) as beside:
        possible = [one for one in chosen if scene.nginx_url or not one.needs_nginx]
        waiting = [beside.submit(carry_out, one, scene) for one in possible if one.slow]
        yield from (row_of(one, None, reason=NO_NGINX) for one in chosen if one not in possible)
        yield from (carry_out(one, scene) for one in possible if not one.slow)
        for future in waiting:
            yield future.result()


def summary(rows: Sequence[Row], figures: Json, seconds: float) -> Json:
    """The object of var/hostile.json."""
    return {
        "attacks": len(rows),
        "held": sum(row.held for row in rows),
        "failed": sum(not row.held for row in rows),
        "seconds": round(seconds, 1),
        "honest": figures,
        "rows": [row.as_json() for row in rows],
    }


if __name__ == "__main__":
    main()
