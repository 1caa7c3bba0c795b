"""Stripe's lists for reconciliation: objects made in a window, newest first."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeVar
from uuid import UUID

import stripe

from db.payments.reconciliations import Dispute, Page, Payment, Refund, Run, Thing
from db.presentation.gateway_words import PAYMENT_STATES, REFUND_STATES
from tasks.gateways.errors import Refused
from tasks.gateways.stripe.client import RECONCILE, call, client

PAGE = 100
T = TypeVar("T")


def list_payments(run: Run) -> Page:
    """The page at the run's cursor. A PaymentIntent does not tell how much of it was refunded; its
    charge does.
    """
    query = _query(run) | {"expand": ["data.latest_charge"]}
    return _page(run, "list", lambda: client().v1.payment_intents.list(query), _payment)


def list_refunds(run: Run) -> Page:
    """The page that the run has come to."""
    return _page(run, "list refunds", lambda: client().v1.refunds.list(_query(run)), _refund)


def list_disputes(run: Run) -> Page:
    """The page that the run has come to."""
    return _page(run, "list disputes", lambda: client().v1.disputes.list(_query(run)), _dispute)


def find_payment(run: Run, gateway_ref: str) -> Payment | None:
    """None: Stripe does not know it."""
    get = client().v1.payment_intents.retrieve
    return _find(run, "retrieve", lambda: get(gateway_ref, {"expand": ["latest_charge"]}), _payment)


def find_refund(run: Run, gateway_ref: str) -> Refund | None:
    """None: Stripe does not know it."""
    get = client().v1.refunds.retrieve
    return _find(run, "retrieve refund", lambda: get(gateway_ref), _refund)


def find_dispute(run: Run, gateway_ref: str) -> Dispute | None:
    """None: Stripe does not know it."""
    get = client().v1.disputes.retrieve
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
