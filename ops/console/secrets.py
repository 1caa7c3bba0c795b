"""The console's commands for ENCRYPTION_KEYS and the secrets that they seal.

To change the key: put a new one before the old one in ENCRYPTION_KEYS of all processes, `secrets
reseal`, then take the old one out.
"""

import argparse
import sys
from datetime import UTC, datetime

from db.accounts import secrets
from db.connections import autocommit, transaction
from db.runtime.errors import UsherError
from db.runtime.sealing import Sealed, make_key, open_sealed, seal, sealing_key_id
from db.runtime.settings import settings


def new_key(wanted: argparse.Namespace) -> None:
    """Print a key for ENCRYPTION_KEYS. Nothing is stored."""
    print(make_key(wanted.id))


def list_keys(wanted: argparse.Namespace) -> None:
    """Print how many secrets each key has sealed, and whether it is known here."""
    with autocommit() as conn:
        counts = secrets.count_by_key(conn)
    for key_id in [*settings().sealing_keys, *sorted(set(counts) - set(settings().sealing_keys))]:
        known = "" if key_id in settings().sealing_keys else "  not in ENCRYPTION_KEYS"
        print(f"{key_id:<16}  {counts.get(key_id, 0):>6} secrets{known}")


def reseal(wanted: argparse.Namespace) -> None:
    """Seal all secrets with the first of ENCRYPTION_KEYS. What does not open is named and left.

    It may be stopped and repeated at any time.
    """
    key_id = sealing_key_id()
    done, unopened = 0, 0
    with transaction(wanted.who) as conn:
        found = list(secrets.list_sealed_before(conn, key_id))
    for sealed in found:
        try:
            done += reseal_one(sealed, wanted.who)
        except UsherError as error:
            unopened += 1
            print(f"{sealed.place.purpose} {sealed.place.owner}: {error}", file=sys.stderr)
    print(f"{done} secrets sealed anew with key {key_id}")
    if unopened:
        sys.exit(f"{unopened} secrets could not be opened")


def reseal_one(sealed: Sealed, who: str) -> bool:
    """Seal a secret with the present key. False: it was changed or deleted meanwhile."""
    now = seal(sealed.place, open_sealed(sealed))
    with transaction(who) as conn:
        return secrets.replace_sealed(conn, sealed, now)


def add_secret_commands(nouns: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    noun = nouns.add_parser("secrets", help="ENCRYPTION_KEYS and what they have sealed")
    verbs = noun.add_subparsers(required=True, metavar="new-key|list|reseal")
    make = verbs.add_parser("new-key", help="make a key for ENCRYPTION_KEYS and print it")
    default = f"k{datetime.now(UTC):%Y%m%d}"
    make.add_argument("--id", default=default, help=f"its id (default: {default})")
    make.set_defaults(run=new_key)
    verbs.add_parser("list", help="how many secrets each key has sealed").set_defaults(
        run=list_keys
    )
    verbs.add_parser("reseal", help="seal everything with the first key").set_defaults(run=reseal)
