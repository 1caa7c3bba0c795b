"""Money that goes back: refunds that an organiser asks for, and events that are cancelled."""

from typing import Any
from uuid import UUID

from db.connections import one, transaction
from db.payments import event_cancellations, refunds
from tests.support.notifying import news
from tests.support.paying import PRICE, confirmed
from tests.support.running import Running
from tests.support.waiting import wait_until
from web.api.gateway_notifications import store

FEE = 250


def ask(running: Running, booking: UUID, **asked: Any) -> dict[str, Any]:
    """As an organiser does; in the answer `id` is the refund's."""
    defaults = {"tickets": None, "amount": None, "with_fees": True, "resell": True, "reason": "ill"}
    with transaction("organiser:1") as conn:
        answer = refunds.request_refund(conn, None, running.sale.event, booking, defaults | asked)
    return answer | {"id": answer["refund"] and answer["refund"]["id"]}


def tickets(running: Running, booking: UUID) -> list[UUID]:
    query = "select id from tickets where booking_id = %s and state = 'valid' order by seat"
    return [row["id"] for row in running.conn.execute(query, [booking])]


def refund(running: Running, id: UUID) -> dict[str, Any]:
    return one(running.conn.execute("select * from refunds where id = %s", [id]))


def carry_out(running: Running, id: UUID, state: str = "succeeded") -> None:
    with running.work():
        wait_until(lambda: refund(running, id)["state"] == state and not running.tasks("refund"))


def books(running: Running, booking: UUID) -> dict[str, Any]:
    return refunds.list_refunds(running.conn, None, running.sale.event, booking)


def given_back(running: Running, booking: UUID) -> int:
    """What the gateway gave back."""
    return sum(int(intent["refunded"]) for intent in running.intents(booking))


def told(running: Running, id: UUID, says: str) -> None:
    """The gateway tells us what became of a refund."""
    assert store(news(type="refund.updated", refund_id=id, refund_says=says)) == "news"


def failed(running: Running) -> tuple[UUID, UUID]:
    """A booking whose refund failed, and the refund."""
    booking = confirmed(running)
    answer = ask(running, booking)
    running.conn.execute("update refunds set params = params || '{\"amount\": 999999}'")
    carry_out(running, answer["id"], "failed")
    return booking, answer["id"]


def settle(running: Running, booking: UUID, id: UUID, how: str | None = None) -> dict[str, Any]:
    with transaction("organiser:1") as conn:
        return refunds.settle_owed(conn, None, running.sale.event, booking, id, how)


def is_returned(running: Running, booking: UUID, amount: int = PRICE) -> bool:
    states = "select state from refunds where booking_id = %s"
    found = running.conn.execute(states, [booking]).fetchall()
    at_rest = not running.tasks() and not running.tasks("refund")
    return found == [{"state": "succeeded"}] and given_back(running, booking) == amount and at_rest


def cancel(running: Running, *, with_fees: bool = True) -> None:
    with transaction("organiser:1") as conn:
        event_cancellations.cancel_event(
            conn, None, running.sale.event, "the tenor is ill", with_fees=with_fees
        )


def progress(running: Running) -> dict[str, Any]:
    return event_cancellations.get_cancellation(running.conn, None, running.sale.event)


def is_over(running: Running) -> bool:
    done = progress(running)
    return bool(done["finished_at"]) and done["pending"] == 0 and not running.tasks("cancel_event")
