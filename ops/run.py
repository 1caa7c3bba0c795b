"""`make run`: everything on this machine, with a demo event on sale, until Ctrl-C."""

import argparse
import signal
from pathlib import Path

from ops.stack import Stack
from ops.supervisor import ROOT, LogEcho


def main() -> None:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--plan", type=Path, help="a seating plan to put on sale")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--logs", action="store_true", help="show all logs in the terminal")
    args = parser.parse_args()
    with Stack(ROOT / "var", web_port=args.port) as stack:
        print_addresses(stack)
        if args.logs:
            with LogEcho(stack.log_dir, print_line):
                wait_for_ctrl_c()
        else:
            wait_for_ctrl_c()


def print_addresses(stack: Stack) -> None:
    print(
        f"""
  API and its documentation   {stack.web_url}/docs
  Stripe sandbox              {stack.sandbox.url}
  caught mail                 {stack.catcher_url}
  logs                        {stack.log_dir}
  DATABASE_URL                {stack.database_url}

Ctrl-C stops everything."""
    )


def print_line(line: str) -> None:
    print(line, end="", flush=True)


def wait_for_ctrl_c() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
