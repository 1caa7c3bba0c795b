"""The console's commands for reconciliations.

A command starts a reconciliation, waits until a worker has done it, and shows the result.
"""

import argparse
import sys
import time
from datetime import datetime
from typing import Any

from db.connections import autocommit, transaction
from db.payments import reconciliations

LOOK_EVERY = 0.5


def reconcile(wanted: argparse.Namespace) -> None:
    """Start runs over a window, and print what each found. Errors: InvalidRequest."""
    with transaction(wanted.who) as conn:
        runs = reconciliations.start(conn, wanted.since, wanted.until)
    print("waiting for a worker; the run continues after Ctrl-C", file=sys.stderr)
    for run_id in runs:
        show(wait_for(run_id))


def wait_for(run_id: int) -> dict[str, Any]:
    """Wait until the run has finished; return it."""
    while True:
        with autocommit() as conn:
            run = reconciliations.find_run(conn, run_id)
        if run["state"] != "running":
            return run
        time.sleep(LOOK_EVERY)


def show(run: dict[str, Any]) -> None:
    """Print a run with its totals and differences."""
    print(describe(run))
    for row in run["totals"]:
        for what in ("captured", "refunded"):
            here, there = row[f"{what}_here"], row[f"{what}_there"]
            print(f"  {row['currency']} {what}: here {here}, there {there}, diff {there - here}")
    with autocommit() as conn:
        rows = reconciliations.list_differences(conn, run["id"], starting_after=0, limit=1000)
    for row in rows:
        print(f"  {row['kind']:<20} {row['subject']:<40} {become_of(row)}")


def describe(run: dict[str, Any]) -> str:
    window = f"{run['window_from']:%Y-%m-%d %H:%M} to {run['window_to']:%Y-%m-%d %H:%M}"
    return (
        f"{run['id']:>6}  {window}  {run['state']}: {run['checked']} compared, "
        f"{run['foreign_objects']} not Usher's, {run['differences']} different, "
        f"{run['repairs']} sent to be repaired, {run['dead_letters']} reported"
    )


def become_of(difference: dict[str, Any]) -> str:
    if difference["resolved_at"]:
        return "gone"
    if difference["dead_letter_id"]:
        return f"dead letter {difference['dead_letter_id']}"
    return f"repair: {difference['repair']}"


def list_runs(_wanted: argparse.Namespace) -> None:
    """Print the latest runs."""
    with autocommit() as conn:
        runs = reconciliations.list_runs(conn, 0, 20)
    for run in runs:
        print(describe(run))


def moment(text: str) -> datetime:
    """Parse a date, or a date and time; without a zone, the machine's time zone is meant."""
    return datetime.fromisoformat(text).astimezone()


def add_reconcile_commands(nouns: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = nouns.add_parser("reconcile", help="compare the gateway's lists with the tables")
    for name, into, words in (("--from", "since", "from"), ("--to", "until", "to before")):
        verb.add_argument(
            name, dest=into, type=moment, required=True, metavar="TIME", help=f"{words} this moment"
        )
    verb.set_defaults(run=reconcile)
    nouns.add_parser("reconciliations", help="the latest runs").set_defaults(run=list_runs)
