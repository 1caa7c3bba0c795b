"""`make run`: run everything on this machine, with a demo event on sale, until Ctrl-C."""

import argparse
import contextlib
import signal
from pathlib import Path

from ops.crowd.organiser import new_api_key, put_on_sale
from ops.local.stack import Stack
from ops.local.supervisor import ROOT, LogEcho

PLAN = ROOT / "ops" / "plans" / "theatre.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--plan", type=Path, default=PLAN, help="a seating plan to put on sale")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--logs", action="store_true", help="show all logs in the terminal")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        run(args.plan, args.port, args.logs)


def run(plan: Path, port: int, show_logs: bool) -> None:
    with Stack(ROOT / "var", web_port=port) as stack:
        api_key = new_api_key(stack.database_url)
        event_id = put_on_sale(stack.web_url, api_key, plan)
        print_addresses(stack, event_id, api_key)
        with LogEcho(stack.log_dir, print_line) if show_logs else contextlib.nullcontext():
            signal.pause()


def print_addresses(stack: Stack, event_id: int, api_key: str) -> None:
    print(
        f"""
  on sale                     {stack.web_url}/v1/events/{event_id}
  organiser's API key         {api_key}
  API and its documentation   {stack.web_url}/docs
  Stripe sandbox              {stack.sandbox.url}
  caught mail                 {stack.catcher_url}
  logs                        {stack.log_dir}
  DATABASE_URL                {stack.database_url}

Ctrl-C stops everything."""
    )


def print_line(line: str) -> None:
    print(line, end="", flush=True)


if __name__ == "__main__":
    main()
