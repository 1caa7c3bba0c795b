"""The gateway for offline payments: our own tables, where organisers record what they received."""

from db.connections import transaction
from db.payments import offline
from db.payments.circuits import Slot
from db.payments.disputes import Case, Dispute
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.payments.refunds import RefundOutcome, RefundProgress
from tasks.gateways.errors import Refused


def look(progress: PaymentProgress) -> PaymentOutcome:
    """The payment's state: paid, given up, or open. Money that came after all counts as paid."""
    with transaction() as conn:
        found = offline.find_payment(conn, progress.payment_id)
    payment = str(progress.payment_id)
    if found is None:
        return PaymentOutcome(
            "requires_action", payment, progress.amount, progress.payment_currency
        )
    if found["reference"] is None:
        return PaymentOutcome("voided", payment, progress.amount, progress.payment_currency)
    amount, currency = found["amount"], found["currency"]
    return PaymentOutcome("captured", payment, amount, currency, captured=amount)


def authorise(progress: PaymentProgress, slot: Slot | None = None) -> PaymentOutcome:
    """Return the state, since an offline payment cannot be authorised."""
    return look(progress)


def capture(progress: PaymentProgress, slot: Slot | None = None) -> PaymentOutcome:
    """Return the state, since nothing was authorised."""
    return look(progress)


def cancel(progress: PaymentProgress, gateway_ref: str) -> PaymentOutcome:
    """Give the payment up, unless it was marked as paid before."""
    with transaction() as conn:
        offline.cancel(conn, progress)
    return look(progress)


def refund(progress: RefundProgress) -> RefundOutcome:
    """Return pending until the organiser records the refund as paid."""
    with transaction() as conn:
        state = "succeeded" if offline.is_refunded(conn, progress) else "pending"
    return RefundOutcome(state, str(progress.refund_id), progress.amount, progress.currency)


def look_at_refund(case: Case, refund_id: str) -> RefundOutcome:
    """Errors: Refused."""
    raise Refused("an offline payment has no refunds at a gateway")


def look_at_dispute(case: Case, dispute_id: str) -> Dispute:
    """Errors: Refused."""
    raise Refused("an offline payment has no disputes at a gateway")
