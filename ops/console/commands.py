"""Operate a running Usher from the terminal.

python -m ops.console api-key create --role organiser --name "box office" --new-organisation Opera
python -m ops.console api-key create --role door --name "gate" --organisation-id 1 --days 30
python -m ops.console api-key list
python -m ops.console api-key rotate 3 --overlap-hours 24
python -m ops.console api-key revoke 3
python -m ops.console member invite --role owner --email "ana@example.org" --organisation-id 1
python -m ops.console member list
python -m ops.console member remove 7
python -m ops.console member reset-factor 7
python -m ops.console dead-letter list --actor send_email --older-than 3600
python -m ops.console dead-letter show 17
python -m ops.console dead-letter retry 17 18
python -m ops.console dead-letter retry --all --reason "connection refused" --limit 100
python -m ops.console dead-letter discard 17 --reason "the buyer was called"
python -m ops.console task list --state failing
python -m ops.console actors
python -m ops.console reconcile --from 2030-05-01 --to 2030-05-02T12:00
python -m ops.console audit list --organisation-id 3
python -m ops.console audit verify
python -m ops.console account export 7
python -m ops.console account erase 7
python -m ops.console jobs
python -m ops.console secrets reseal

The settings are those of the environment, or else those of a running `make run` or `make demo`.
"""

import argparse
import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from db.accounts import api_keys
from db.accounts.api_keys import NewKey
from db.accounts.rights import OF_KEYS, OPERATOR
from db.connections import transaction
from db.durable import jobs
from db.runtime.errors import UsherError
from ops.console.accounts import add_account_commands
from ops.console.arguments import line, network
from ops.console.audit import add_audit_commands
from ops.console.local_settings import use_local_settings
from ops.console.members import add_member_commands
from ops.console.reconcile import add_reconcile_commands
from ops.console.secrets import add_secret_commands
from ops.console.tasks import add_dead_letter_commands, add_task_commands

STATES = {
    "used_at": "used",
    "old_until": "the key before it is good until",
    "expires_at": "expires",
    "revoked_at": "revoked",
}


def create_key(wanted: argparse.Namespace) -> None:
    """Print a new key, the only time that it is shown."""
    with transaction(wanted.who) as conn:
        organisation_id = wanted.organisation_id
        if wanted.new_organisation:
            organisation_id = api_keys.add_organisation(conn, wanted.new_organisation)
        scopes = [scope for scope in api_keys.SCOPES if getattr(wanted, scope)]
        expires_at = datetime.now(UTC) + timedelta(days=wanted.days) if wanted.days else None
        new = NewKey(wanted.role, wanted.name, scopes, wanted.network, expires_at)
        _, key = api_keys.create_key(conn, organisation_id, new)
    print(key)


def list_keys(wanted: argparse.Namespace) -> None:
    with transaction() as conn:
        keys = api_keys.list_keys(conn, None, limit=10**6)
    for key in keys:
        whose = f"{key['organisation_id']} {key['organisation']}" if key["organisation"] else "all"
        print(f"{key['id']:>6}  {key['prefix'] or api_keys.PREFIX:<12}…  {key['role']:<10}  "
              f"{key['name']:<24}  {whose:<24}  {tell_state(key)}")  # fmt: skip


def tell_state(key: dict[str, Any]) -> str:
    """What else is to be said of a key."""
    told = [*key["scopes"], *key["networks"]]
    for column, words in STATES.items():
        if key[column]:
            told.append(f"{words} {key[column]:%Y-%m-%d %H:%M}")
    return ", ".join(told)


def rotate_key(wanted: argparse.Namespace) -> None:
    """Print the key that takes a key's place, the only time that it is shown."""
    with transaction(wanted.who) as conn:
        key = api_keys.rotate_key(conn, None, wanted.key, wanted.overlap_hours * 3600, None)
    print(key)


def revoke_key(wanted: argparse.Namespace) -> None:
    with transaction(wanted.who) as conn:
        api_keys.revoke_key(conn, None, wanted.key)


def add_key_commands(nouns: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    noun = nouns.add_parser("api-key", help="keys of organisers' and operators' servers")
    verbs = noun.add_subparsers(required=True, metavar="create|list|rotate|revoke")
    create = verbs.add_parser("create", help="make a key and print it, once")
    create.add_argument("--role", choices=OF_KEYS, required=True)
    create.add_argument("--name", type=line, required=True, help="a name that people recognise")
    whose = create.add_mutually_exclusive_group()
    whose.add_argument("--organisation-id", type=int, metavar="N")
    whose.add_argument("--new-organisation", type=line, metavar="NAME")
    create.add_argument("--dangerous", action="store_true", help="it may also cancel events, say")
    create.add_argument("--test", action="store_true", help="it reads the feed of test events")
    create.add_argument("--days", type=int, metavar="N", help="it expires after so many days")
    create.add_argument(
        "--network", type=network, action="append", default=[], help="where it may be used from"
    )
    create.set_defaults(run=create_key)
    verbs.add_parser("list", help="all keys").set_defaults(run=list_keys)
    rotate = verbs.add_parser("rotate", help="make a key anew and print it, once")
    rotate.add_argument("key", type=int, metavar="ID")
    rotate.add_argument("--overlap-hours", type=int, choices=range(721), default=24, metavar="N",
                        help="how long the one before stays good")  # fmt: skip
    rotate.set_defaults(run=rotate_key)
    revoke = verbs.add_parser("revoke", help="make a key invalid")
    revoke.add_argument("key", type=int, metavar="ID")
    revoke.set_defaults(run=revoke_key)


def user_name() -> str:
    """The name of the terminal's user, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "unknown"


def list_jobs(wanted: argparse.Namespace) -> None:
    """Print the clock's periodic jobs: interval, last success, next tick, failures."""
    with transaction() as conn:
        found = jobs.list_jobs(conn)
    for job in found:
        done = job["last_finished_at"]
        when = f"{done:%Y-%m-%d %H:%M:%S}" if done else "never"
        bad = f"failed {job['failures']} times: {job['last_error']}" if job["failures"] else ""
        print(f"{job['name']:<24}  every {job['every']!s:<15}  done {when:<19}  "
              f"next {job['next_at']:%Y-%m-%d %H:%M:%S}  {bad}".rstrip())  # fmt: skip


def read_command(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.console", description="Operate a running Usher."
    )
    nouns = parser.add_subparsers(required=True, metavar="NOUN")
    add_key_commands(nouns)
    add_member_commands(nouns)
    add_dead_letter_commands(nouns)
    add_task_commands(nouns)
    add_audit_commands(nouns)
    add_account_commands(nouns)
    parser.set_defaults(who=f"console:{user_name()}")
    add_reconcile_commands(nouns)
    add_secret_commands(nouns)
    nouns.add_parser("jobs", help="the clock's periodic jobs").set_defaults(run=list_jobs)
    wanted = parser.parse_args(arguments)
    if getattr(wanted, "role", OPERATOR) != OPERATOR and not (
        wanted.organisation_id or wanted.new_organisation
    ):
        parser.error(f"the role {wanted.role} needs --organisation-id or "
                     "--new-organisation")  # fmt: skip
    return wanted


def main() -> None:
    wanted = read_command(sys.argv[1:])
    use_local_settings()
    try:
        wanted.run(wanted)
    except (UsherError, psycopg.Error) as error:
        sys.exit(f"{error}")
