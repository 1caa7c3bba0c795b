"""The console's commands for the audit log.

`audit verify` prints the last link of each chain. Kept where no one who can write to the database
can write, these lines tell later whether the chains are still those: `audit verify --heads FILE`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from db.accounts import audit_log
from db.accounts.audit_log import PLATFORM, Head
from db.connections import Conn, transaction
from db.runtime.errors import InvalidRequest

LONGEST = 3600  # seconds


def verify(wanted: argparse.Namespace) -> None:
    """Print the heads of the chains. Exit with 1 and print what is not as it was written, if
    anything is not. Errors: InvalidRequest."""
    noted = read_heads(wanted.heads) if wanted.heads else []
    with transaction(seconds=LONGEST) as conn:
        findings = audit_log.verify_acts(conn, wanted.organisation_id)
        lost = [head for head in noted if not audit_log.is_kept(conn, head)]
        heads = audit_log.list_heads(conn, wanted.organisation_id)
    for head in heads:
        print(f"{head['organisation_id']} {head['number']} {head['hash']}")
    for found in findings:
        print(describe(found), file=sys.stderr)
    for link in lost:
        print(f"{of(link.organisation_id)}: link {link.number} is not as noted", file=sys.stderr)
    if findings or lost:
        sys.exit(1)


def describe(found: dict[str, Any]) -> str:
    link = f"link {found['number']}" if found["number"] else "no link"
    what = found["finding"].replace("_", " ")
    return f"{of(found['organisation_id'])}: {link}, act {found['act_id']}: {what}"


def of(organisation_id: int) -> str:
    return "the platform" if organisation_id == PLATFORM else f"organisation {organisation_id}"


def read_heads(path: Path) -> list[Head]:
    """The heads that an earlier run printed. Errors: InvalidRequest."""
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        return [Head(int(chain), int(number), hash) for chain, number, hash in rows]
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} has no heads of chains: {error}") from error


def list_acts(wanted: argparse.Namespace) -> None:
    """Print the latest acts."""
    with transaction() as conn:
        acts = _list(conn, wanted)
    for act in acts:
        about = f"event {act['event_id'] or '-'}  account {act['account_id'] or '-'}"
        print(f"{act['id']:>8}  {act['at']:%Y-%m-%d %H:%M:%S}  {act['actor']:<16}  "
              f"{act['action']:<28}  {about}  {act['detail']}")  # fmt: skip


def _list(conn: Conn, wanted: argparse.Namespace) -> list[dict[str, Any]]:
    chosen = {"event_id": wanted.event_id, "account_id": wanted.account_id}
    if wanted.organisation_id:
        return audit_log.list_acts_of(conn, wanted.organisation_id, limit=wanted.limit, **chosen)
    return audit_log.list_acts(conn, limit=wanted.limit, **chosen)


def add_audit_commands(nouns: Any) -> None:
    noun = nouns.add_parser("audit", help="what staff, organisers and operators did")
    verbs = noun.add_subparsers(required=True, metavar="list|verify")
    listing = verbs.add_parser("list", help="the latest acts")
    checking = verbs.add_parser("verify", help="hold the acts against their chains")
    for each in (listing, checking):
        each.add_argument("--organisation-id", type=int, metavar="N")
    listing.add_argument("--event-id", type=int, metavar="N")
    listing.add_argument("--account-id", type=int, metavar="N")
    listing.add_argument("--limit", type=int, default=50, metavar="N")
    listing.set_defaults(run=list_acts)
    checking.add_argument("--heads", type=Path, metavar="FILE", help="what it printed before")
    checking.set_defaults(run=verify)
