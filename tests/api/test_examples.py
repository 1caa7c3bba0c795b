"""The examples of the OpenAPI document, executed in their order: a hall is set up, seats are sold,
paid, given back. Each is answered as it is described."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from db.connections import Conn
from tests.support.document import Document
from tests.support.world import Answer, Caller, Sale, backstage

NOT_EXECUTED = {
    "addPasskey": "needs a device",
    "givePasskey": "needs a device",
    "namePasskey": "needs a device that made it",
    "signInByPasskey": "needs a device",
    "acceptInvitation": "needs the code of a mail",
    "changeMember": "needs a member",
    "confirmSecondFactor": "needs a code of an app",
    "decideReview": "needs a payment that the gateway authorised",
    "discardDeadLetter": "needs a task that was given up",
    "eraseAccount": "needs an account that is no longer used",
    "closeAccount": "the buyer goes on",
    "confirmAddressChange": "needs codes by mail",
    "mergeAccounts": "needs a code by mail",
    "eraseOwnData": "the buyer goes on",
    "expectTotal": "needs an entry that said what it expects",
    "dismissFraudWarning": "needs a card's issuer that warns",
    "giveSecondFactor": "needs a code of an app",
    "givePublicValue": "needs a lobby that has closed",
    "markRefundPaid": "needs the worker to take the refund first",
    "moveEvent": "needs a second version of the plan",
    "settleRefund": "needs a refund that failed",
    "receiveNotification": "the gateway's own, and signed",
    "receiveAccountNotification": "the gateway's own, and signed",
    "refreshTokens": "needs the token of a sign-in",
}
"""What the tests of these operations send instead."""


@dataclass
class Script:
    """Executes examples. ids: what earlier answers have made, by the names of parameters."""

    document: Document
    ids: dict[str, Any] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)

    def call(self, who: Caller, name: str, /, **ids: Any) -> Answer:
        """Execute an operation with its example; the answer is as described, and of success."""
        operation = self.document.operations[name]
        path = re.sub(r"\{(\w+)\}", lambda found: str((self.ids | ids)[found[1]]), operation.path)
        key = f"{name} {len(self.executed)}"
        answer = who.call(operation.method, path, operation.example, key=key)
        assert 200 <= answer.status_code < 300, (name, operation.example, answer.text)
        assert self.document.errors_of(operation, answer) == [], (name, answer.text)
        self.executed.add(name)
        return answer


@pytest.fixture
def script(document: Document) -> Script:
    return Script(document)


def set_up(script: Script, opera: Caller) -> None:
    """The organisation: a hall, a plan, an event on sale."""
    script.ids["organisation_id"] = opera.id
    script.call(opera, "changeOrganisation")
    script.ids["key_id"] = script.call(opera, "addApiKey").json["id"]
    script.call(opera, "rotateApiKey")
    script.call(opera, "inviteMember")
    for name in ("setIdentityProvider", "getIdentityProvider", "removeIdentityProvider"):
        script.call(opera, name)
    for name in ("getApiKey", "revokeApiKey"):
        script.call(opera, name)
    script.ids["venue_id"] = script.call(opera, "addVenue").json["id"]
    plan = script.call(opera, "addPlan").json
    script.ids |= {"plan_id": plan["id"], "version_id": plan["version_id"]}
    script.ids["event_id"] = script.call(opera, "addEvent").json["id"]
    script.call(opera, "changeEvent")
    assert script.call(opera, "openEvent").json["state"] == "on_sale"


def connect(script: Script, opera: Caller, operator: Caller) -> None:
    """The organisation's own account at the gateway, and what an operator may do about it."""
    script.ids["account_id"] = script.call(opera, "addGatewayAccount").json["id"]
    for name in ("offerGatewayKey", "setWebhookSecret", "checkGatewayAccount"):
        script.call(opera, name)
    assert script.call(opera, "getGatewayAccount").json["state"] == "checking"
    script.call(operator, "suspendOrganisation")
    assert script.call(operator, "liftSuspension").json["suspension"] is None


def look(script: Script, anybody: Caller) -> None:
    """A shop: what is on sale, and where."""
    for name in ("listEvents", "getEvent", "getChart", "getCompactChart"):
        script.call(anybody, name)
    for name in ("getAvailability", "getBitmap", "getQueue"):
        script.call(anybody, name)


def buy(script: Script, anybody: Caller, sale: Sale, conn: Conn) -> Caller:
    """A buyer: signs up, joins, pays, has tickets."""
    account = script.call(anybody, "addAccount").json
    buyer = Caller(anybody.client, script.call(anybody, "addToken").json["token"], account["id"])
    script.ids["session_id"] = script.call(buyer, "listSessions").json[0]["id"]
    for name in ("nameSession", "changeMe", "setPassword", "removePassword"):
        script.call(buyer, name)
    script.call(buyer, "startAddressChange")
    script.call(buyer, "startMerge")
    entry = script.call(buyer, "joinQueue").json
    script.ids["entry_id"] = entry["id"]
    script.call(Caller(anybody.client, entry["ticket"]), "getPosition")
    sale.drain(conn)
    script.ids["booking_id"] = script.call(buyer, "getEntry").json["booking_id"]
    assert script.call(buyer, "payBooking").json["payment"]["state"] == "intended"
    backstage(sale, conn).carry_on(UUID(script.ids["booking_id"]))
    tickets = script.call(buyer, "listTickets").json
    assert [ticket["state"] for ticket in tickets] == ["valid", "valid"]
    for name in ("getBooking", "listBookings", "listBookingReceipts", "getMe"):
        script.call(buyer, name)
    script.call(buyer, "drawTicketCode", ticket_id=tickets[0]["id"])
    return buyer


def give_back(script: Script, opera: Caller, buyer: Caller) -> None:
    for name in ("correctBookingAddress", "correctBookingName", "setBookingTags"):
        script.call(opera, name)
    for name in ("writeBookingNote", "getBookingDetails", "getBookingTimeline", "findBookings"):
        script.call(opera, name)
    refund = script.call(opera, "requestRefund").json
    assert (refund["booking_state"], len(refund["returned"])) == ("cancelled", 2)
    script.call(opera, "listRefunds")
    assert script.call(buyer, "bookSeats").json["state"] == "held"


def sell_at_counter(script: Script, opera: Caller) -> None:
    booking = script.call(opera, "bookAtCounter").json
    script.call(opera, "listOfflinePayments")
    script.call(opera, "extendBookingDeadline", booking_id=booking["id"])
    script.call(opera, "markBookingPaid", booking_id=booking["id"])
    transfer = script.call(opera, "recordTransfer", booking_id=booking["id"]).json
    script.call(opera, "decideSurplus", transfer_id=transfer["id"])


def control(script: Script, opera: Caller, operator: Caller) -> None:
    """The organiser and the operator: the rest."""
    for name in ("changeLane", "blockSeats", "unblockSeats", "pauseSale", "resumeSale"):
        script.call(opera, name)
    script.call(opera, "changeReviewRules")
    script.call(opera, "setReviewRule", name="buyer_seats")
    for report in ("occupancy", "revenue", "sales", "waits"):
        script.call(opera, "getReport", name=report)
    script.call(opera, "duplicateEvent")
    script.call(opera, "previewPlan")
    script.call(opera, "addPlanVersion")
    script.call(operator, "retryDeadLetters")
    for name in script.document.operations:
        if name.startswith("list") and "Receipts" not in name:
            who = operator if reads_all(script.document, name) else opera
            schemes = script.document.operations[name].schemes
            if schemes & {"api_key", "operator_key"} and name != "listDifferencesOfRun":
                script.call(who, name)
    script.call(opera, "postponeEvent")
    script.call(opera, "cancelEvent")
    script.call(opera, "getCancellation")


def reads_all(document: Document, name: str) -> bool:
    return "operator_key" in document.operations[name].schemes


def announce(script: Script, opera: Caller, conn: Conn) -> None:
    """Another event, with a lobby before its sale."""
    later = {"event_id": script.call(opera, "addEvent").json["id"]}
    times = "update events set on_sale_at = '2040-01-10 10:00+01' where id = %(event_id)s"
    conn.execute(times, later)
    script.call(opera, "openEvent", **later)
    script.call(opera, "setLobby", **later)
    script.call(opera, "getLobby", **later)
    script.call(opera, "closeEvent", **later)


@pytest.mark.slow
@pytest.mark.faults("OpenAPI")
def test_the_examples_sell_a_hall(
    script: Script, anybody: Caller, opera: Caller, operator: Caller, conn: Conn
) -> None:
    set_up(script, opera)
    sale = Sale(opera, {}, {}, script.ids["event_id"], f"/v1/events/{script.ids['event_id']}")
    look(script, anybody)
    buyer = buy(script, anybody, sale, conn)
    give_back(script, opera, buyer)
    sell_at_counter(script, opera)
    announce(script, opera, conn)
    connect(script, opera, operator)
    control(script, opera, operator)
    script.call(operator, "blockAccount", account_id=buyer.id)
    assert with_examples(script.document) - script.executed == set(NOT_EXECUTED)


def with_examples(document: Document) -> set[str]:
    return {name for name, op in document.operations.items() if "requestBody" in op.described}
