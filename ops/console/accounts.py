"""The console's commands for the personal data of an account."""

import argparse
import json
from typing import Any

from db.connections import transaction
from db.maintenance import personal_data

LONGEST = 600  # seconds


def export(wanted: argparse.Namespace) -> None:
    """Print what is kept about a person, in documents of 500 bookings. Errors: NotFound."""
    after: str | None = None
    while True:
        with transaction(wanted.who, LONGEST) as conn:
            document = personal_data.export_account(conn, wanted.account, after)
        print(json.dumps(document, indent=2, default=str))
        if document["next"] is None:
            return
        after = document["next"]


def erase(wanted: argparse.Namespace) -> None:
    """Erase a person's data, now or when nothing is under way. Errors: NotFound."""
    with transaction(wanted.who, LONGEST) as conn:
        found = personal_data.request_erasure(conn, wanted.account)
    why = ", ".join(found["because"]).replace("_", " ")
    print(f"{found['state']}{f': {why}' if why else ''}")


def add_account_commands(nouns: Any) -> None:
    noun = nouns.add_parser("account", help="the personal data of an account")
    verbs = noun.add_subparsers(required=True, metavar="export|erase")
    for name, run, about in (
        ("export", export, "print what is kept about a person"),
        ("erase", erase, "erase it, at once or when nothing is under way"),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("account", type=int, metavar="ID")
        verb.set_defaults(run=run)
