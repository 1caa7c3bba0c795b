"""One of everything that a path of the API can name, and everybody who may ask for it.

The opera has an event on sale whose best seats alice has paid, one of them refunded; an event with
a lobby, and one that was cancelled. bob and the circus have nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from db.catalogue import plan_imports
from db.catalogue.plan_imports import Wanted
from db.connections import Conn, one
from tests.support.world import Caller, Sale, backstage, in_hours, path_of, sign_up
from web.support.signing import sign

LETTER = """
    insert into dead_letters (task_id, actor, queue, args, event_id, reason, claims, errors,
        created_at)
    values (0, 'reconcile', 'maintenance', '{}', %s, 'tests', 1, '[]', now()) returning id"""
RUN = """
    insert into reconciliations (gateway_account_id, cause, requested_by, window_from, window_to)
    select gateway_account_id, 'asked', 'tests', now() - interval '1 hour', now()
    from events where id = %s returning id"""

SESSION = """
    insert into sessions (account_id, carrier, name, authenticated_by)
    values (%s, 'bearer', 'tests', 'code') returning id"""


@dataclass(frozen=True)
class Role:
    """Somebody who calls. schemes: those of the document that the token is of; empty: of none.
    owns: whether the objects of these paths are the caller's; None: all objects are."""

    caller: Caller
    schemes: frozenset[str]
    owns: bool | None = False


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
    ids = {
        "event_id": tosca.id,
        "venue_id": tosca.venue["id"],
        "plan_id": tosca.plan["id"],
        "version_id": tosca.plan["version_id"],
        "import_id": add_import(conn, tosca),
        "organisation_id": opera.id,
        "account_id": sign_up(app.test_client(), "donna").id,
        "booking_id": booking,
        "entry_id": joined["id"],
        "ticket_id": second["id"],
        "refund_id": refund,
        "letter_id": one(conn.execute(LETTER, [tosca.id]))["id"],
        "session_id": one(conn.execute(SESSION, [alice.id]))["id"],
        "reconciliation_id": one(conn.execute(RUN, [tosca.id]))["id"],
    }
    elsewhere: dict[str, dict[str, Any]] = {
        "/lobby": {"event_id": announced.id},
        "/cancellation": {"event_id": gone.id},
        "/reports/": {"name": "sales"},
        "/rules/": {"name": "buyer_seats"},
    }
    ticket = Caller(alice.client, joined["ticket"])
    roles = everybody(alice, bob, opera, circus, operator, ticket)
    return EveryObject(roles, ids, elsewhere)


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
        "another organisation": Role(circus, frozenset({"api_key"})),
        "the buyer": Role(alice, frozenset({"buyer"}), owns=True),
        "the organisation": Role(opera, frozenset({"api_key"}), owns=True),
        "an operator": Role(operator, frozenset({"api_key", "operator_key"}), owns=None),
    }
