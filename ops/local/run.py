"""`make run`: run everything on this machine, with an event on sale, until Ctrl-C.

The data are kept in var/run between runs: database, mails, the gateway's side, secrets. `make
reset` empties it.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path

import requests

from ops.crowd.organiser import new_api_key, put_on_sale
from ops.local.servers import Postgres, ServerError, connected
from ops.local.stack import Stack, alone_in
from ops.local.supervisor import ROOT, LogEcho
from ops.local.terminal import Progress, print_by_lines

PLAN = ROOT / "ops" / "plans" / "theatre.json"
VAR = ROOT / "var" / "run"
COUNTS = """
SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM bookings) AS bookings,
    (SELECT count(*) FROM outbox) AS tasks
"""


def main() -> None:
    print_by_lines()
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--plan", type=Path, default=PLAN, help="a seating plan to put on sale")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--logs", action="store_true", help="show all logs in the terminal")
    parser.add_argument("--no-proxy", action="store_true", help="web processes only, no limits")
    parser.add_argument("--reset", action="store_true", help="delete the data that were kept")
    args = parser.parse_args()
    try:
        if args.reset:
            reset(VAR)
        else:
            run(args.plan, args.port, args.logs, VAR, proxied=not args.no_proxy)
    except KeyboardInterrupt:
        print("Everything has stopped.")
    except ServerError as error:
        sys.exit(f"{error}\n\n`make reset` empties {VAR}, if its data are of another version.")
    except OSError as error:
        sys.exit(f"{error}")


def reset(var_dir: Path) -> None:
    """Delete the data of earlier runs, unless a run is going on."""
    if var_dir.exists():
        with alone_in(var_dir):
            Postgres(var_dir / "pg").discard()
            shutil.rmtree(var_dir)
    print(f"{var_dir} is empty.")


def run(plan: Path, port: int, show_logs: bool, var_dir: Path, *, proxied: bool = True) -> None:
    if not plan.is_file():
        sys.exit(f"There is no plan {plan}.")
    with Stack(var_dir, web_port=port, proxied=proxied, keep=True, say=print) as stack:
        with Progress() as progress:
            progress.say("putting the event on sale")
            event_id, api_key = find_or_open(stack, plan)
        print_addresses(stack, event_id, api_key)
        with LogEcho(stack.log_dir, print_line) if show_logs else contextlib.nullcontext():
            while True:
                signal.pause()


def find_or_open(stack: Stack, plan: Path) -> tuple[int, str]:
    """The event that an earlier run put on sale for this plan, else a new one; and the key."""
    api_key: str = stack.kept.get("api_key", str)
    if not is_known(stack, api_key):  # the database may be another one than in the earlier run
        api_key = new_api_key(stack.database_url)
        stack.kept.put("api_key", api_key)
    content = hashlib.sha256(plan.read_bytes()).hexdigest()
    events: dict[str, int] = stack.kept.get("events", dict)
    event_id = events.get(content)
    if event_id is None or not is_on_sale(stack, event_id, api_key):
        event_id = put_on_sale(stack.web_url, api_key, plan)
        stack.kept.put("events", events | {content: event_id})
    return event_id, api_key


def is_known(stack: Stack, api_key: str) -> bool:
    return bool(api_key) and ask(stack, "/v1/venues", api_key).ok


def is_on_sale(stack: Stack, event_id: int, api_key: str) -> bool:
    answer = ask(stack, f"/v1/events/{event_id}", api_key)
    return answer.ok and answer.json()["state"] == "on_sale"


def ask(stack: Stack, path: str, api_key: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {api_key}"}
    return requests.get(stack.web_url + path, headers=headers, timeout=30)


def print_addresses(stack: Stack, event_id: int, api_key: str) -> None:
    print(
        f"""
  on sale                     {stack.public_url}/v1/events/{event_id}
  organiser's API key         {api_key}
  API and its documentation   {stack.public_url}/docs
  Stripe sandbox              {stack.sandbox.url}
  caught mail                 {stack.catcher_url}
  logs                        {stack.log_dir}
  DATABASE_URL                {stack.database_url}

{about_the_data(stack)}
Ctrl-C stops everything (from elsewhere: kill -INT {os.getpid()})."""
    )


def about_the_data(stack: Stack) -> str:
    if stack.postgres is None:
        return "The data are in the database that DATABASE_URL names."
    kept = f"It is kept in {stack.var_dir} between runs; `make reset` empties it."
    if stack.postgres.is_new:
        return f"The database is new. {kept}"
    with connected(stack.database_url) as conn:
        ((events, bookings, tasks),) = [row.values() for row in conn.execute(COUNTS)]
    return (
        f"The database is that of earlier runs: {events} events, {bookings} bookings,"
        f" {tasks} tasks under way. {kept}"
    )


def print_line(line: str) -> None:
    print(line, end="", flush=True)


if __name__ == "__main__":
    main()
