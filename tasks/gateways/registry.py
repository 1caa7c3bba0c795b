"""A gateway, as the saga knows it: what a payment is now, and the few things that can be done to
it.

Every call is outside any transaction; what may be done only once can be asked for again, and is
done once. Errors: tasks/gateways/errors.py, and TryLater when nothing was done.
"""

from typing import Protocol

from db.payments import payments, refunds
from db.payments.disputes import Case, Dispute
from db.payments.reconciliations import Page, Run, Thing
from tasks.gateways import offline
from tasks.gateways.stripe import lists
from tasks.gateways.stripe import payments as stripe


class Gateway(Protocol):
    """An adapter: a module with these functions. Errors of each: as this module says."""

    def authorise(self, progress: payments.PaymentProgress) -> payments.PaymentOutcome:
        """Reserve the money, or find out what became of an earlier try to.

        Errors: NothingHappened when the payment must be sent under the next key.
        """

    def look(self, progress: payments.PaymentProgress) -> payments.PaymentOutcome:
        """What the payment is now.

        Errors: NothingHappened when the gateway has never heard of it, and will not any more.
        """

    def capture(self, progress: payments.PaymentProgress) -> payments.PaymentOutcome:
        """Take the money that was reserved, whole. What it already is, if it is that already."""

    def cancel(
        self, progress: payments.PaymentProgress, gateway_ref: str
    ) -> payments.PaymentOutcome:
        """Make sure that the payment can never succeed. What it is instead, if too late."""

    def refund(self, progress: refunds.RefundProgress) -> refunds.RefundOutcome:
        """Give money back, or find out what became of an earlier try to.

        Errors: NothingHappened when the refund must be sent under the next key.
        """

    def look_at_refund(self, case: Case, refund_id: str) -> refunds.RefundOutcome:
        """What a refund is that was made at the gateway, past us."""

    def look_at_dispute(self, case: Case, dispute_id: str) -> Dispute:
        """What a dispute is now."""


class Books(Protocol):
    """What a gateway has in its books, for reconciliation: as an adapter's module has it. Pages are
    of what was made in the run's window, from its cursor on.
    """

    def list_payments(self, run: Run) -> Page: ...
    def list_refunds(self, run: Run) -> Page: ...
    def list_disputes(self, run: Run) -> Page: ...

    def find_payment(self, run: Run, gateway_ref: str) -> Thing | None:
        """One alone; None: the gateway does not know it. So with the others."""

    def find_refund(self, run: Run, gateway_ref: str) -> Thing | None: ...
    def find_dispute(self, run: Run, gateway_ref: str) -> Thing | None: ...


class Paid(Protocol):
    """Anything of which it is known through what kind of gateway it is paid."""

    @property
    def provider(self) -> str: ...


GATEWAYS: dict[str, Gateway] = {"offline": offline, "stripe": stripe}
"""By gateway_accounts.provider."""
BOOKS: dict[str, Books] = {"stripe": lists}
"""By gateway_accounts.provider, of those that keep books of their own."""


def gateway_of(paid: Paid) -> Gateway:
    """The adapter for a payment, a refund or a dispute."""
    return GATEWAYS[paid.provider]


def books_of(run: Run) -> Books:
    """What the gateway of a run has."""
    return BOOKS[run.provider]
