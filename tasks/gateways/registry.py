"""The interface of a gateway: read a payment's state, and authorise, capture, cancel or refund it.

Every call is outside any transaction. A change that may happen only once can be requested again,
and still happens once. Errors: tasks/gateways/errors.py, and TryLater when nothing was done.
"""

from datetime import datetime
from typing import Protocol

from db.payments import payments, refunds
from db.payments.circuits import Slot
from db.payments.disputes import Case, Dispute
from db.payments.payouts import Payout, Reading, Transaction
from db.payments.reconciliations import Page, Run, Thing
from tasks.gateways import offline
from tasks.gateways.stripe import lists
from tasks.gateways.stripe import payments as stripe


class Gateway(Protocol):
    """An adapter: a module with these functions. Their errors are those of this module."""

    def authorise(
        self, progress: payments.PaymentProgress, slot: Slot | None = None
    ) -> payments.PaymentOutcome:
        """Authorise the payment, or return the outcome of an earlier try.

        slot: taken beforehand, by take_slots of a gateway that is called for groups.
        Errors: NothingHappened when the payment must be sent under the next key.
        """

    def look(self, progress: payments.PaymentProgress) -> payments.PaymentOutcome:
        """The payment's present state.

        Errors: NothingHappened when the gateway does not know it, and never will.
        """

    def capture(
        self, progress: payments.PaymentProgress, slot: Slot | None = None
    ) -> payments.PaymentOutcome:
        """Capture the whole authorised amount. A payment that is captured already is returned."""

    def cancel(
        self, progress: payments.PaymentProgress, gateway_ref: str
    ) -> payments.PaymentOutcome:
        """Make sure that the payment can never succeed; if it is too late, return its state."""

    def refund(self, progress: refunds.RefundProgress) -> refunds.RefundOutcome:
        """Refund money, or return the outcome of an earlier try.

        Errors: NothingHappened when the refund must be sent under the next key.
        """

    def look_at_refund(self, case: Case, refund_id: str) -> refunds.RefundOutcome:
        """The state of a refund that was made in the gateway's dashboard."""

    def look_at_dispute(self, case: Case, dispute_id: str) -> Dispute:
        """The dispute's present state."""


class ForGroups(Protocol):
    """What an adapter has besides, if its calls are made for groups of payments side by side."""

    def take_slots(self, account_id: int, step: str, count: int) -> list[Slot]:
        """Take slots for so many calls at once. step: 'authorise' or 'capture'."""


class Books(Protocol):
    """The lists of a gateway for reconciliation: an adapter's module has these functions. A page
    has objects that were made in the run's window, beginning at its cursor.
    """

    def list_payments(self, run: Run) -> Page: ...
    def list_refunds(self, run: Run) -> Page: ...
    def list_disputes(self, run: Run) -> Page: ...

    def find_payment(self, run: Run, gateway_ref: str) -> Thing | None:
        """One object; None when the gateway does not know it. The same for the next two."""

    def find_refund(self, run: Run, gateway_ref: str) -> Thing | None: ...
    def find_dispute(self, run: Run, gateway_ref: str) -> Thing | None: ...


class Balances(Protocol):
    """What a gateway did with an account's money: an adapter's module has these functions."""

    def list_balance(self, reading: Reading) -> tuple[list[Transaction], str | None]:
        """A page of transactions, beginning at the reading's cursor, and the next cursor."""

    def list_payouts(self, reading: Reading, since: datetime) -> list[Payout]: ...
    def list_of_payout(
        self, reading: Reading, payout_ref: str, cursor: str | None
    ) -> tuple[list[Transaction], str | None]: ...


class Paid(Protocol):
    """Anything with the provider through which it is paid."""

    @property
    def provider(self) -> str: ...


GATEWAYS: dict[str, Gateway] = {"offline": offline, "stripe": stripe}
"""By gateway_accounts.provider."""
FOR_GROUPS: dict[str, ForGroups] = {"stripe": stripe}
"""By gateway_accounts.provider."""
BOOKS: dict[str, Books] = {"stripe": lists}
"""By gateway_accounts.provider; only gateways that have lists."""


BALANCES: Balances = lists
"""Of accounts at Stripe, the only gateway that keeps money."""


def balances_of(reading: Reading) -> Balances:
    """The balance of a reading's account."""
    return BALANCES


def gateway_of(paid: Paid) -> Gateway:
    """The adapter for a payment, a refund or a dispute."""
    return GATEWAYS[paid.provider]


def books_of(run: Run) -> Books:
    """The lists of a run's gateway."""
    return BOOKS[run.provider]
