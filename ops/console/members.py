"""The console's commands for people who work for organisations, and operators."""

import argparse

from db.accounts import api_keys, invitations, memberships, second_factors
from db.accounts.rights import OF_STAFF, OPERATOR
from db.connections import transaction
from db.presentation.addresses import read_address
from db.runtime.errors import NotFound
from ops.console.arguments import line


def invite(wanted: argparse.Namespace) -> None:
    """Invite a person by mail."""
    with transaction(wanted.who) as conn:
        organisation_id = wanted.organisation_id
        if wanted.new_organisation:
            organisation_id = api_keys.add_organisation(conn, wanted.new_organisation)
        invitations.invite(conn, organisation_id, wanted.email, wanted.role)
    print(f"{wanted.email} was invited, by mail")


def list_members(wanted: argparse.Namespace) -> None:
    with transaction() as conn:
        found = memberships.list_all_members(conn)
    for member in found:
        whose = f"{member['organisation_id']} {member['organisation']}"
        print(f"{member['id']:>6}  account {member['account_id']:<8}  {member['role']:<10}  "
              f"{whose if member['organisation'] else 'all'}")  # fmt: skip


def remove_member(wanted: argparse.Namespace) -> None:
    with transaction(wanted.who) as conn:
        memberships.remove_member(conn, None, wanted.member)


def reset_factor(wanted: argparse.Namespace) -> None:
    """Ask for the reset of a lost second factor, and print when it is due."""
    with transaction(wanted.who) as conn:
        accounts = {m["id"]: m["account_id"] for m in memberships.list_all_members(conn)}
        if wanted.member not in accounts:
            raise NotFound(f"There is no member {wanted.member}.")
        due_at = second_factors.request_reset(conn, None, accounts[wanted.member])
    print(f"due at {due_at:%Y-%m-%d %H:%M} UTC")


def address(text: str) -> str:
    """An e-mail address, as it is mailed."""
    try:
        return read_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_member_commands(nouns: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    noun = nouns.add_parser("member", help="people who work for organisations, and operators")
    verbs = noun.add_subparsers(required=True, metavar="invite|list|remove|reset-factor")
    inviting = verbs.add_parser("invite", help="invite a person by mail")
    inviting.add_argument("--role", choices=[*OF_STAFF, OPERATOR], required=True)
    inviting.add_argument("--email", type=address, required=True)
    whose = inviting.add_mutually_exclusive_group()
    whose.add_argument("--organisation-id", type=int, metavar="N")
    whose.add_argument("--new-organisation", type=line, metavar="NAME")
    inviting.set_defaults(run=invite)
    verbs.add_parser("list", help="all members").set_defaults(run=list_members)
    removing = verbs.add_parser("remove", help="end a membership at once")
    removing.add_argument("member", type=int, metavar="ID")
    removing.set_defaults(run=remove_member)
    resetting = verbs.add_parser("reset-factor", help="reset a lost second factor, in a day")
    resetting.add_argument("member", type=int, metavar="ID")
    resetting.set_defaults(run=reset_factor)
