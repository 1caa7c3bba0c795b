"""Every act of an organisation or an operator is in the audit log, and every reading of personal
data: whatever operations the document has."""

from typing import Any
from uuid import UUID

import pytest

from db.accounts import audit_log
from db.accounts.api_keys import NewKey, create_key
from db.connections import Conn, one
from tests.support.document import Document, Operation
from tests.support.every_object import EveryObject
from tests.support.staff import sign_in_staff
from tests.support.theatre import stage_every_state
from tests.support.world import Answer, Caller, Sale, event_fields, in_hours, small_hall

KEYS = {"api_key", "operator_key"}
CHANGES_NOTHING = {"previewPlan"}
LAST = ("deleteDraft", "closeEvent", "cancelEvent")


def acts_of_keys(document: Document) -> list[Operation]:
    found = [
        op
        for op in document.operations.values()
        if op.schemes & KEYS and op.method != "GET" and op.id not in CHANGES_NOTHING
    ]
    return sorted(found, key=lambda op: op.id in LAST)


def count(conn: Conn) -> int:
    query = "select count(*) as n from audit_log where actor !~ '^(buyer|task|clock):'"
    return int(one(conn.execute(query))["n"])


def call(every: EveryObject, operation: Operation, path: str, body: Any = None) -> Answer:
    who = every.roles["the organisation" if "api_key" in operation.schemes else "an operator"]
    body = operation.example if body is None else body
    return who.caller.call(operation.method, path, body, key=f"audit {operation.id}")


@pytest.mark.slow
def test_every_act_is_in_the_audit_log(
    document: Document, every_object: EveryObject, tosca: Sale, operator: Caller, conn: Conn
) -> None:
    """An operation that is new here is answered by success with its example, or staged below."""
    staged = Staged(every_object, tosca, operator, conn)
    wrong: list[tuple[Any, ...]] = []
    for operation in acts_of_keys(document):
        stage = getattr(staged, operation.id, None)
        path, body = every_object.fill(operation.path), None
        if stage is not None:
            path, body = stage()
        before = count(conn)
        answer = (
            operator.call(operation.method, path, body or operation.example, key=operation.id)
            if operation.id in OF_ANOTHER
            else call(every_object, operation, path, body)
        )
        if not 200 <= answer.status_code < 300:
            wrong.append((operation.id, "is not staged", answer.status_code, answer.text[:300]))
        elif count(conn) == before:
            wrong.append((operation.id, "writes no act"))
    assert wrong == []
    while audit_log.chain_acts(conn, 1000):
        pass
    assert audit_log.verify_acts(conn) == []


OF_ANOTHER = {"decideReview", "dismissFraudWarning", "settleRefund", "retryRefund"} | {
    "requestRefund"
}
"""Operations that are staged in an evening of its own, which operators may act in."""


class Staged:
    """Paths and bodies for operations that need more than every_object has: a method each."""

    def __init__(self, every: EveryObject, sale: Sale, operator: Caller, conn: Conn) -> None:
        self.every, self.sale, self.operator, self.conn = every, sale, operator, conn
        self.bookings: dict[str, UUID] = {}

    def path(self, booking: str, rest: str) -> str:
        if not self.bookings:
            self.bookings = stage_every_state(self.conn)
        id = self.bookings[booking]
        event = one(self.conn.execute("select event_id from bookings where id = %s", [id]))
        return f"/v1/events/{event['event_id']}/bookings/{id}/{rest}"

    def decideReview(self) -> tuple[str, Any]:
        return self.path("review", "review"), {"decision": "approve", "reason": "known"}

    def dismissFraudWarning(self) -> tuple[str, Any]:
        path = self.path("frozen", "release")
        self.conn.execute("update disputes set state = 'won'")
        self.conn.execute(
            """insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind,
                   actionable)
               select 'issfr_1', payment_id, event_id, id, 'fraud', true from bookings
               where id = %s""",
            [self.bookings["frozen"]],
        )
        return path, None

    def owed(self) -> str:
        path = self.path("cancelled", "refunds")
        refund = one(
            self.conn.execute(
                """update refunds set state = 'failed' where id = (
                       select id from refunds where booking_id = %s order by id desc limit 1)
                   returning id""",
                [self.bookings["cancelled"]],
            )
        )
        return f"{path}/{refund['id']}"

    def retryRefund(self) -> tuple[str, Any]:
        return f"{self.owed()}/retry", None

    def settleRefund(self) -> tuple[str, Any]:
        return f"{self.owed()}/settlement", {"how": "by bank transfer"}

    def addPlan(self) -> tuple[str, Any]:
        return f"/v1/venues/{self.sale.venue['id']}/plans", small_hall(2)

    def addPlanVersion(self) -> tuple[str, Any]:
        return f"/v1/plans/{self.sale.plan['id']}/versions", small_hall(3)

    def moveEvent(self) -> tuple[str, Any]:
        added = self.sale.opera.post(f"/v1/plans/{self.sale.plan['id']}/versions", small_hall(4))
        draft = self.sale.add_event(name="Rusalka")
        return f"{draft.path}/plan-version", {"plan_version_id": added.json["version_id"]}

    def addEvent(self) -> tuple[str, Any]:
        return "/v1/events", event_fields(self.sale.venue, self.sale.plan, name="Carmen")

    def changeEvent(self) -> tuple[str, Any]:
        return self.sale.path, {"name": "Tosca, sung"}

    def draft(self) -> str:
        return self.sale.add_event(name="Rusalka").path

    def deleteDraft(self) -> tuple[str, Any]:
        return self.draft(), None

    def openEvent(self) -> tuple[str, Any]:
        return f"{self.draft()}/open", None

    def closeEvent(self) -> tuple[str, Any]:
        return f"{self.sale.add_event(name='Nabucco').open().path}/close", None

    def cancelEvent(self) -> tuple[str, Any]:
        return f"{self.sale.add_event(name='Otello').open().path}/cancel", {"reason": "ill"}

    def resumeSale(self) -> tuple[str, Any]:
        event = self.sale.add_event(name="Aida").open()
        assert self.sale.opera.post(f"{event.path}/pause").status_code == 200
        return f"{event.path}/resume", None

    def blockSeats(self) -> tuple[str, Any]:
        return f"{self.sale.path}/blocks", {"seats": ["3-1"]}

    def unblockSeats(self) -> tuple[str, Any]:
        self.sale.opera.post(f"{self.sale.path}/blocks", {"seats": ["3-2"]})
        return f"{self.sale.path}/blocks", {"seats": ["3-2"]}

    def givePublicValue(self) -> tuple[str, Any]:
        event = self.every.elsewhere["/lobby"]["event_id"]
        self.conn.execute(
            """update draws set closed_at = now(), accounts = '{}', lobby_numbers = '{}',
                   list_sha256 = sha256(''), list_count = 0 where event_id = %s""",
            [event],
        )
        return f"/v1/events/{event}/lobby/draw", {"public_value": "17 23 42"}

    def setLobby(self) -> tuple[str, Any]:
        event = self.sale.add_event(name="Faust", on_sale_at=in_hours(12)).open()
        return f"{event.path}/lobby", {"opens_at": in_hours(1), "closes_at": in_hours(2)}

    def postponeEvent(self) -> tuple[str, Any]:
        event = self.sale.add_event(name="Fidelio").open()
        body = {"starts_at": in_hours(96), "give_back_until": in_hours(72), "reason": "ill"}
        return f"{event.path}/postponements", body

    def counter(self) -> tuple[Sale, dict[str, Any]]:
        event = self.sale.add_event(name="Elektra", offline_seconds=3600, gated=False).open()
        buyer = {"email": "luis@example.org", "name": "Luis Gil", "seats": ["2-1"]}
        answer = self.sale.opera.post(
            f"{event.path}/counter-bookings", buyer | {"accept_terms": True}, key=event.path
        )
        assert answer.status_code == 201, answer.text
        return event, answer.json

    def bookAtCounter(self) -> tuple[str, Any]:
        event = self.sale.add_event(name="Salome", offline_seconds=3600, gated=False).open()
        buyer = {"email": "luis@example.org", "name": "Luis Gil", "seats": ["2-1"]}
        return f"{event.path}/counter-bookings", buyer | {"accept_terms": True}

    def markBookingPaid(self) -> tuple[str, Any]:
        event, booking = self.counter()
        body = {"reference": "desk 1", "amount": booking["total"], "currency": "EUR"}
        return f"{event.path}/bookings/{booking['id']}/payment/paid", body

    def recordTransfer(self) -> tuple[str, Any]:
        event, booking = self.counter()
        body = {"reference": "SEPA 1", "amount": booking["total"] + 1, "currency": "EUR"}
        return f"{event.path}/bookings/{booking['id']}/transfers", body

    def decideSurplus(self) -> tuple[str, Any]:
        path, body = self.recordTransfer()
        body |= {"reference": "SEPA 2"}
        transfer = self.sale.opera.post(path, body, key="surplus").json
        return f"{path.partition('/bookings')[0]}/transfers/{transfer['id']}/surplus", None

    def extendBookingDeadline(self) -> tuple[str, Any]:
        event, booking = self.counter()
        return f"{event.path}/bookings/{booking['id']}/deadline", {"deadline": in_hours(20)}

    def duplicateEvent(self) -> tuple[str, Any]:
        return f"{self.sale.path}/copies", {"starts_at": in_hours(400)}

    def markRefundPaid(self) -> tuple[str, Any]:
        event, booking = self.counter()
        path = f"{event.path}/bookings/{booking['id']}"
        refund = one(
            self.conn.execute(
                """with paid as (
                       update payments set state = 'captured', captured = amount,
                           gateway_ref = 'offline' where booking_id = %s returning *)
                   insert into refunds (payment_id, event_id, booking_id, amount, currency, reason)
                   select id, event_id, booking_id, amount, currency, 'ill' from paid
                   returning id""",
                [booking["id"]],
            )
        )
        return f"{path}/refunds/{refund['id']}/paid", {"how": "in cash"}

    def rotateApiKey(self) -> tuple[str, Any]:
        with self.conn.transaction():
            key, _ = create_key(self.conn, self.sale.opera.id, NewKey("door", "gate"))
        return f"/v1/organisations/{self.sale.opera.id}/api-keys/{key}/rotation", None

    def resetMemberFactor(self) -> tuple[str, Any]:
        who = sign_in_staff(self.sale.opera.client.application, "door", self.sale.opera.id, "zoe")
        query = "insert into second_factors (account_id, confirmed_at) values (%s, now())"
        self.conn.execute(query, [who.id])
        query = "select id from memberships where account_id = %s"
        member = one(self.conn.execute(query, [who.id]))["id"]
        path = f"/v1/organisations/{self.sale.opera.id}/members/{member}"
        return f"{path}/second-factor-reset", None

    def reopenAccount(self) -> tuple[str, Any]:
        account = self.every.ids["account_id"]
        self.conn.execute("update accounts set closed_at = now() where id = %s", [account])
        return f"/v1/accounts/{account}/reopening", None

    def letter(self) -> int:
        query = """
            insert into dead_letters (task_id, actor, queue, args, reason, claims, errors,
                created_at)
            values (777, 'sum_up_day', 'maintenance', '{"day": "2030-01-01"}', 'tests', 1, '[]',
                now())
            returning id"""
        return int(one(self.conn.execute(query))["id"])

    def retryDeadLetter(self) -> tuple[str, Any]:
        return f"/v1/dead-letters/{self.letter()}/retry", None

    def retryDeadLetters(self) -> tuple[str, Any]:
        self.letter()
        return "/v1/dead-letters/retry", {"actor": "sum_up_day", "limit": 9}

    def requestRefund(self) -> tuple[str, Any]:
        return self.path("confirmed", "refunds"), {"amount": 100, "reason": "late"}


@pytest.mark.slow
def test_every_reading_of_a_buyers_data_is_in_the_audit_log(
    document: Document, every_object: EveryObject, zerlina: Caller, conn: Conn
) -> None:
    """Found by the answers: those that name the buyer, whose name stands wherever it can."""
    acts_are_of(conn, zerlina)
    conn.execute("update emails set state = 'failed', sent_at = null where event_id is not null")
    conn.execute(
        """insert into dead_letters (task_id, actor, queue, args, event_id, reason, claims, errors,
               created_at)
           select 0, 'send_email', 'mail', jsonb_build_object('email_id', id), event_id, 'tests', 1,
               '[]', now() from emails where event_id is not null"""
    )
    named, silent = set(), set()
    for operation in document.operations.values():
        if operation.method == "GET" and operation.schemes & KEYS:
            before = count(conn)
            answer = call(every_object, operation, every_object.fill(operation.path))
            if "quux" in answer.text.lower():
                named.add(operation.id)
                silent |= {operation.id} if count(conn) == before else set()
    assert {"getBookingAddress", "listRefusedMails", "listActs", "listReceipts"} <= named
    assert silent == set()


def acts_are_of(conn: Conn, buyer: Caller) -> None:
    """Acts about the buyer, of the organisation and its event."""
    conn.execute(
        """select audit('tried', event_id, '{}', organisation_id, buyer_id,
               jsonb_build_object('said', 'quux')) from bookings where buyer_id = %s""",
        [buyer.id],
    )


def test_an_organisation_reads_its_own_acts(
    tosca: Sale, opera: Caller, circus: Caller, operator: Caller
) -> None:
    operator.post(f"{tosca.path}/pause")
    path = f"/v1/organisations/{opera.id}/audit"
    latest, *earlier = opera.get(path).json
    assert latest["action"] == "lane changed"
    assert latest["actor"].startswith("operator:")
    assert latest["detail"] == {"paused": {"from": False, "to": True}}
    assert {act["action"] for act in earlier} >= {"venue added", "plan added", "event added"}
    assert {act["organisation_id"] for act in [latest, *earlier]} == {opera.id}
    assert [act["id"] for act in opera.get(f"{path}?event_id={tosca.id}&limit=1").json] == [
        latest["id"]
    ]
    assert circus.get(path).status_code == 404
    again = operator.get(path).json
    assert again[-1 - len(earlier) :] == [latest, *earlier]
    assert {act["action"] for act in again[: -1 - len(earlier)]} == {"audit log read"}


def test_an_address_that_was_corrected_is_kept_apart_with_before_and_after(
    every_object: EveryObject, document: Document, opera: Caller, alice: Caller, conn: Conn
) -> None:
    operation = document.operations["correctBookingAddress"]
    path = every_object.fill(operation.path)
    assert opera.call("PUT", path, {"email": "al@example.com"}).status_code == 200
    query = f"/v1/organisations/{opera.id}/audit?action=booking address corrected"
    (act,) = opera.get(query).json
    assert act["detail"]["email"] == {"from": "alice@example.org", "to": "al@example.com"}
    assert (act["account_id"], act["erased"]) == (alice.id, False)
    assert "@" not in str(conn.execute("select detail from audit_log").fetchall())
