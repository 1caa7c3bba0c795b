"""One of everything that a path of the API can name, and everybody who may ask for it.

The opera has an event on sale whose best seats alice has paid, one of them refunded; an event with
a lobby, and one that was cancelled. bob and the circus have nothing.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from db.accounts import api_keys, identity_providers, invitations
from db.accounts.api_keys import EVERYTHING, NewKey
from db.accounts.rights import OF_KEYS, OF_STAFF
from db.catalogue import plan_imports
from db.catalogue.plan_imports import Wanted
from db.connections import Conn, one, transaction
from tests.support.staff import sign_in_staff
from tests.support.world import Caller, Sale, backstage, in_hours, path_of, sign_up
from web.support.signing import sign

KEYS = frozenset({"api_key", "operator_key"})
STAFF = frozenset({"staff", "buyer"})
LETTER = """
    insert into dead_letters (task_id, actor, queue, args, event_id, reason, claims, errors,
        created_at)
    values (0, 'reconcile', 'maintenance', '{}', %s, 'tests', 1, '[]', now()) returning id"""
RUN = """
    insert into reconciliations (gateway_account_id, cause, requested_by, window_from, window_to)
    select gateway_account_id, 'asked', 'tests', now() - interval '1 hour', now()
    from events where id = %s returning id"""

TRANSFER = """
    insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount,
        currency, surplus, decision, how, decided_at, decided_by, recorded_by)
    select event_id, booking_id, id, gateway_account_id, 'tests', 1, currency, 1, 'refunded',
        'tests', now(), 'tests', 'tests'
    from payments where booking_id = %s returning id"""

PROVIDER = {
    "issuer": "https://login.opera.example",
    "client_id": "usher",
    "factor_amr": ["mfa"],
    "factor_acr": [],
}
SESSION = """
    insert into sessions (account_id, carrier, name, authenticated_by)
    values (%s, 'bearer', 'tests', 'code') returning id"""


PASSKEY = """
    insert into passkeys (account_id, credential_id, public_key, sign_count, name)
    values (%s, 'tests', 'tests', 0, 'tests') returning id"""


@dataclass(frozen=True)
class Role:
    """Somebody who calls. schemes: those of the document that the token is of; empty: of none.
    owns: whether the objects of these paths are the caller's; None: all objects are. name: that of
    a role in db/accounts/rights.py; is_confirmed: whether dangerous acts are allowed."""

    caller: Caller
    schemes: frozenset[str]
    owns: bool | None = False
    name: str = ""
    is_confirmed: bool = True


@dataclass
class EveryObject:
    """roles: by their names; ids: by the names of parameters; elsewhere: other ids for paths with
    these words, since one event cannot be in every state."""

    roles: dict[str, Role]
    ids: dict[str, Any]
    elsewhere: dict[str, dict[str, Any]]

    def fill(self, path: str) -> str:
        ids = dict(self.ids)
        for word, others in self.elsewhere.items():
            if word in path:
                ids |= others
        for name, value in ids.items():
            path = path.replace("{" + name + "}", str(value))
        return path

    def fill_missing(self, path: str) -> str:
        """The path to a thing that does not exist, in the last of those that do."""
        name = re.findall(r"\{(\w+_id)\}", path)[-1]
        missing = uuid4() if isinstance(self.ids[name], UUID | str) else 10**9
        return self.fill(path.replace("{" + name + "}", str(missing)))


@pytest.fixture
def every_object(
    app: Flask,
    conn: Conn,
    tosca: Sale,
    alice: Caller,
    bob: Caller,
    opera: Caller,
    circus: Caller,
    operator: Caller,
) -> EveryObject:
    joined = tosca.join(alice, quantity=2).json
    tosca.drain(conn)
    booking = alice.get(joined["links"]["self"]).json["booking_id"]
    backstage(tosca, conn).confirm(UUID(booking))
    path = path_of(tosca, {"id": booking})
    first, second = alice.get(f"{path}/tickets").json
    asked = {"tickets": [first["id"]], "reason": "ill"}
    refund = opera.post(f"{path}/refunds", asked, key="refund").json["refund"]["id"]
    announced = tosca.add_event(name="Aida", on_sale_at=in_hours(12)).open()
    times = {"opens_at": in_hours(1), "closes_at": in_hours(2), "public_source": "a lottery"}
    lobby = opera.call("PUT", f"{announced.path}/lobby", times)
    assert lobby.status_code == 200, lobby.text
    gone = tosca.add_event(name="Norma").open()
    assert opera.post(f"{gone.path}/cancel", {"reason": "ill"}, key="cancel").status_code == 202
    identity_providers.set_provider(conn, opera.id, PROVIDER, "its secret")
    ids = {
        "event_id": tosca.id,
        "venue_id": tosca.venue["id"],
        "plan_id": tosca.plan["id"],
        "version_id": tosca.plan["version_id"],
        "import_id": add_import(conn, tosca),
        "organisation_id": opera.id,
        "account_id": sign_up(app.test_client(), "donna").id,
        "key_id": api_keys.create_key(conn, opera.id, NewKey("door", "gate"))[0],
        "membership_id": add_member(app, conn, opera),
        "invitation_id": invitations.invite(conn, opera.id, "zoe@example.org", "door"),
        "booking_id": booking,
        "entry_id": joined["id"],
        "ticket_id": second["id"],
        "refund_id": refund,
        "transfer_id": one(conn.execute(TRANSFER, [booking]))["id"],
        "letter_id": one(conn.execute(LETTER, [tosca.id]))["id"],
        "session_id": one(conn.execute(SESSION, [alice.id]))["id"],
        "passkey_id": one(conn.execute(PASSKEY, [alice.id]))["id"],
        "reconciliation_id": one(conn.execute(RUN, [tosca.id]))["id"],
    }
    elsewhere: dict[str, dict[str, Any]] = {
        "/gateway-accounts/": {"account_id": add_gateway_account(opera)},
        "/lobby": {"event_id": announced.id},
        "/cancellation": {"event_id": gone.id},
        "/reports/": {"name": "sales"},
        "/rules/": {"name": "buyer_seats"},
    }
    ticket = Caller(alice.client, joined["ticket"])
    roles = everybody(alice, bob, opera, circus, operator, ticket)
    return EveryObject(roles, ids, elsewhere)


def add_gateway_account(opera: Caller) -> int:
    """An account of the opera's own, with its keys."""
    path = f"/v1/organisations/{opera.id}/gateway-accounts"
    added = opera.post(path, {"api_key": "sk_test_of_every_object"}, key="account")
    assert added.status_code == 202, added.text
    return int(added.json["id"])


def add_import(conn: Conn, sale: Sale) -> int:
    """A large plan that waits to be read."""
    wanted = Wanted(
        venue_id=sale.venue["id"],
        plan_id=None,
        name=None,
        strict=False,
        guess=True,
        unrelated=False,
    )
    return plan_imports.start_import(conn, sale.opera.id, wanted, b"{}")


def everybody(
    alice: Caller, bob: Caller, opera: Caller, circus: Caller, operator: Caller, ticket: Caller
) -> dict[str, Role]:
    nothing: frozenset[str] = frozenset()
    now = datetime.now(UTC)
    mine = {"sub": str(alice.id), "n": 0}
    tomorrow = {"exp": now + timedelta(days=1)}
    tickets = frozenset({"queue_ticket", "queue_ticket_in_query"})
    elsewhere = {"sub": str(alice.id), "event": 999, "entry": str(uuid4()), "number": 1}
    wrong = {
        "an unknown word": "nonsense",
        "a forged token": (alice.token or "")[:-6] + "AAAAAA",
        "an expired token": sign(mine | {"exp": now - timedelta(minutes=1)}, "buyer"),
        "a refresh token": sign(mine | tomorrow, "refresh"),
        "a ticket of another queue": sign(elsewhere | tomorrow, "queue"),
        "an unknown key": "usk_" + "0" * 43,
    }
    return {
        "anonymous": Role(Caller(alice.client), nothing),
        **{name: Role(Caller(alice.client, token), nothing) for name, token in wrong.items()},
        "the queue ticket": Role(ticket, tickets, owns=True),
        "another buyer": Role(bob, frozenset({"buyer"})),
        "another organisation": Role(circus, KEYS, name="organiser"),
        **keys_of(circus, owns=False),
        **staff_of(circus, owns=False),
        "the buyer": Role(alice, frozenset({"buyer"}), owns=True),
        **keys_of(opera, owns=True),
        **staff_of(opera, owns=True),
        "an operator without a key": operator_in_person(operator),
        "the organisation": Role(opera, KEYS, owns=True, name="organiser"),
        "an operator": Role(operator, KEYS, owns=None, name="operator"),
    }


def add_member(app: Flask, conn: Conn, opera: Caller) -> int:
    """A member of the opera who does nothing here, and may be removed."""
    who = sign_in_staff(app, "door", opera.id, "first")
    query = "select id from memberships where account_id = %s"
    return int(one(conn.execute(query, [who.id]))["id"])


def staff_of(seller: Caller, *, owns: bool) -> dict[str, Role]:
    """A person of each role, and an owner without a second factor, and with one of long ago."""
    found = {}
    app = seller.client.application
    for name in OF_STAFF:
        who = sign_in_staff(app, name, seller.id)
        found[f"{name} in person of {seller.id}"] = Role(who, STAFF, owns, name)
    for told, age in (("without a factor", None), ("with an old factor", 601)):
        who = sign_in_staff(app, "owner", seller.id, told, factor_age=age)
        name = "owner" if age else ""
        found[f"owner {told} of {seller.id}"] = Role(who, STAFF, owns, name, is_confirmed=False)
    return found


def operator_in_person(operator: Caller) -> Role:
    who = sign_in_staff(operator.client.application, "operator", None)
    return Role(who, STAFF, owns=None, name="operator")


def keys_of(seller: Caller, *, owns: bool) -> dict[str, Role]:
    """A key of each role in an organisation, and one that may do nothing dangerous."""
    found = {}
    for name in sorted(set(OF_KEYS) - {"operator"}):
        scopes = () if name == "organiser" else EVERYTHING
        with transaction() as conn:
            key = api_keys.add_key(conn, name, "tests", seller.id, scopes)
        role = Role(Caller(seller.client, key), KEYS, owns, name, is_confirmed=bool(scopes))
        found[f"{name} of {seller.id}"] = role
    return found
