"""Buyers who pay at the sandbox, and how far that went."""

from typing import Any
from uuid import UUID

from tests.support.dashboard import dashboard
from tests.support.running import Running
from tests.support.waiting import wait_until

PRICE = 10500


THREE_DS = "pm_card_threeDSecure2Required"


def paid_once(running: Running, booking: UUID) -> bool:
    """Exactly one charge went through at the gateway, for the whole price; nothing else is held."""
    intents = running.intents(booking)
    captured = [intent for intent in intents if intent["captured"]]
    held = sum(intent["held"] for intent in intents)
    return [intent["captured"] for intent in captured] == [PRICE] and held == 0


def nothing_taken(running: Running, booking: UUID) -> bool:
    return all(i["captured"] == i["held"] == 0 for i in running.intents(booking))


def waits_for_buyer(running: Running, payment: UUID) -> bool:
    return running.payment(payment)["state"] == "requires_action" and not running.tasks()


def carry_on(lease: Any) -> None:
    """What the actor does, from where the saga is."""
    from tasks import bookings

    while not lease.finished and (todo := bookings.next_step(lease)):
        step, progress = todo
        step(lease, progress)


def approved(running: Running, booking: UUID) -> UUID:
    """The buyer has authenticated, and nobody has told us yet; the payment."""
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
    running.sandbox.authenticate(str(running.payment(payment)["gateway_ref"]), "approve")
    return payment


def capture(running: Running, payment: UUID, amount: int = PRICE) -> None:
    """Somebody takes the money at the gateway, past us."""
    gateway_ref = str(running.payment(payment)["gateway_ref"])
    dashboard().v1.payment_intents.capture(gateway_ref, {"amount_to_capture": amount})


def fail(running: Running, booking: UUID, payment: UUID) -> None:
    """The payment is given up as lost; the buyer may try another."""
    with running.conn.transaction():
        running.conn.execute("update payments set state = 'failed' where id = %s", [payment])
        running.conn.execute(
            "update bookings set state = 'held', payment_id = null where id = %s", [booking]
        )


def confirmed(running: Running, name: str = "alice", card: str = "pm_card_visa") -> UUID:
    booking = running.sale.hold(name)
    with running.work():
        running.pay(booking, card)
        running.wait_for(booking, "confirmed")
    return booking


DISPUTED = "pm_card_createDispute"


BOOKING_FEE = 150


TOTAL = 2 * 5250 + BOOKING_FEE


def with_fee(running: Running, fee: int = BOOKING_FEE, rate: float = 0.07) -> Running:
    query = "update events set booking_fee = %s, booking_fee_tax_rate = %s"
    running.conn.execute(query, [fee, rate])
    return running
