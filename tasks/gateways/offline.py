"""The gateway of money paid offline: our own tables, where organisers say what they received."""

from db.connections import transaction
from db.payments import offline
from db.payments.disputes import Case, Dispute
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.payments.refunds import RefundOutcome, RefundProgress
from tasks.gateways.errors import Refused


def look(progress: PaymentProgress) -> PaymentOutcome:
    """Paid, given up, or neither yet. Money that came after all is there, given up or not."""
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


def authorise(progress: PaymentProgress) -> PaymentOutcome:
    """Nothing can be reserved."""
    return look(progress)


def capture(progress: PaymentProgress) -> PaymentOutcome:
    """Nothing was reserved."""
    return look(progress)


def cancel(progress: PaymentProgress, gateway_ref: str) -> PaymentOutcome:
    """Give it up, unless it was marked as paid before."""
    with transaction() as conn:
        offline.cancel(conn, progress)
    return look(progress)


def refund(progress: RefundProgress) -> RefundOutcome:
    """Pending until the organiser says that it was paid."""
    with transaction() as conn:
        state = "succeeded" if offline.is_refunded(conn, progress) else "pending"
    return RefundOutcome(state, str(progress.refund_id), progress.amount, progress.currency)


def look_at_refund(case: Case, refund_id: str) -> RefundOutcome:
    """Errors: Refused."""
    raise Refused("money that was paid offline is given back by whoever has it")


def look_at_dispute(case: Case, dispute_id: str) -> Dispute:
    """Errors: Refused."""
    raise Refused("nobody disputes money that was paid offline")
