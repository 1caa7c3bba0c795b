"""Stripe's lists for reconciliation and balances: objects made in a window, newest first."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeVar
from uuid import UUID

import stripe

from db.payments.payouts import Payout, Reading, Transaction
from db.payments.reconciliations import Dispute, Page, Payment, Refund, Run, Thing
from db.presentation.gateway_words import PAYMENT_STATES, REFUND_STATES
from tasks.gateways.errors import Refused
from tasks.gateways.stripe.client import RECONCILE, call, client, pages

PAGE = 100
T = TypeVar("T")


def list_payments(run: Run) -> Page:
    """The page at the run's cursor. A PaymentIntent does not tell how much of it was refunded; its
    charge does.
    """
    query = _query(run) | {"expand": ["data.latest_charge"]}
    return _page(run, "list", lambda: client(run).v1.payment_intents.list(query), _payment)


def list_refunds(run: Run) -> Page:
    """The page that the run has come to."""
    return _page(run, "list refunds", lambda: client(run).v1.refunds.list(_query(run)), _refund)


def list_disputes(run: Run) -> Page:
    """The page that the run has come to."""
    return _page(run, "list disputes", lambda: client(run).v1.disputes.list(_query(run)), _dispute)


def find_payment(run: Run, gateway_ref: str) -> Payment | None:
    """None: Stripe does not know it."""
    get = client(run).v1.payment_intents.retrieve
    return _find(run, "retrieve", lambda: get(gateway_ref, {"expand": ["latest_charge"]}), _payment)


def find_refund(run: Run, gateway_ref: str) -> Refund | None:
    """None: Stripe does not know it."""
    get = client(run).v1.refunds.retrieve
    return _find(run, "retrieve refund", lambda: get(gateway_ref), _refund)


def find_dispute(run: Run, gateway_ref: str) -> Dispute | None:
    """None: Stripe does not know it."""
    get = client(run).v1.disputes.retrieve
    return _find(run, "retrieve dispute", lambda: get(gateway_ref), _dispute)


def _query(run: Run) -> Any:
    """The list's parameters; Stripe's times are whole seconds."""
    window = {"gte": int(run.window_from.timestamp()), "lt": ceil(run.window_to.timestamp())}
    after = {"starting_after": run.cursor} if run.cursor else {}
    return {"created": window, "limit": PAGE, **after}


def _page(
    run: Run, endpoint: str, request: Callable[[], Any], read: Callable[[Any], Thing]
) -> Page:
    found = call(run, endpoint, request, RECONCILE)
    rows: Iterable[Any] = found.data
    things = [read(each) for each in rows]
    return Page(things, things[-1].id if found.has_more else None)


def _find(
    run: Run, endpoint: str, request: Callable[[], Any], read: Callable[[Any], T]
) -> T | None:
    try:
        return read(call(run, endpoint, request, RECONCILE))
    except Refused as refused:
        if refused.details.get("code") != "resource_missing":
            raise
        return None


def _payment(intent: stripe.PaymentIntent) -> Payment:
    charge: Any = intent.latest_charge
    captured = intent.amount_received or 0
    return Payment(
        id=intent.id,
        made_at=_moment(intent),
        state=PAYMENT_STATES[intent.status],
        amount=intent.amount,
        currency=intent.currency.upper(),
        captured=captured,
        # If a charge was never captured, Stripe calls the voided authorisation refunded.
        refunded=charge.amount_refunded if captured and charge else 0,
        payment_id=_mark(intent, "payment_id"),
    )


def _refund(refund: stripe.Refund) -> Refund:
    return Refund(
        id=refund.id,
        made_at=_moment(refund),
        state=REFUND_STATES[refund.status or "pending"],
        amount=refund.amount,
        currency=refund.currency.upper(),
        payment_gateway_ref=_id(refund.payment_intent),
        refund_id=_mark(refund, "refund_id"),
    )


def _dispute(dispute: stripe.Dispute) -> Dispute:
    return Dispute(
        id=dispute.id,
        made_at=_moment(dispute),
        state=dispute.status,
        amount=dispute.amount,
        currency=dispute.currency.upper(),
        payment_gateway_ref=_id(dispute.payment_intent),
    )


def _moment(thing: Any) -> datetime:
    return datetime.fromtimestamp(thing.created, UTC)


def _id(thing: Any) -> str | None:
    """The id in a field that holds an id or the whole object."""
    return thing if thing is None or isinstance(thing, str) else str(thing.id)


def _mark(thing: Any, name: str) -> UUID | None:
    """One of our ids in an object's metadata. Other users of the account may write anything."""
    marks = thing.metadata.to_dict() if thing.metadata else {}
    try:
        return UUID(str(marks.get(name, "")))
    except ValueError:
        return None


def list_balance(reading: Reading) -> tuple[list[Transaction], str | None]:
    """The balance transactions at the reading's cursor, and the cursor of the next page."""
    window = {
        "gte": int(reading.window_from.timestamp()),
        "lt": ceil(reading.window_to.timestamp()),
    }
    return _transactions(reading, reading.cursor, {"created": window})


def list_of_payout(
    reading: Reading, payout_ref: str, cursor: str | None
) -> tuple[list[Transaction], str | None]:
    """The transactions that a payout contains, page by page as list_balance."""
    return _transactions(reading, cursor, {"payout": payout_ref})


def _transactions(
    reading: Reading, cursor: str | None, which: dict[str, Any]
) -> tuple[list[Transaction], str | None]:
    after = {"starting_after": cursor} if cursor else {}
    query: Any = {"limit": PAGE, "expand": ["data.source"], **which, **after}
    found = call(
        reading,
        "list balance",
        lambda: client(reading).v1.balance_transactions.list(query),
        RECONCILE,
    )
    rows = [_transaction(each) for each in found.data]
    return rows, rows[-1].id if found.has_more else None


def list_payouts(reading: Reading, since: datetime) -> list[Payout]:
    """Payouts that were made since then."""
    query: Any = {"limit": PAGE, "created": {"gte": int(since.timestamp())}}
    first = client(reading).v1.payouts.list
    return [
        _payout(each) for each in pages(reading, "list payouts", lambda: first(query), RECONCILE)
    ]


def _transaction(row: stripe.BalanceTransaction) -> Transaction:
    source: Any = row.source
    payment = getattr(source, "payment_intent", None)
    return Transaction(
        id=row.id,
        type=row.type,
        source=_id(source),
        payment_ref=_id(payment),
        amount=row.amount,
        fee=row.fee,
        currency=row.currency.upper(),
        made_at=_moment(row),
        available_at=datetime.fromtimestamp(row.available_on, UTC),
    )


def _payout(payout: stripe.Payout) -> Payout:
    return Payout(
        ref=payout.id,
        amount=payout.amount,
        currency=payout.currency.upper(),
        state=payout.status,
        made_at=_moment(payout),
        arrives_at=datetime.fromtimestamp(payout.arrival_date, UTC),
        failure=payout.failure_code,
    )
