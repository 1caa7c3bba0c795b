"""All calls: their names and functions.

A name is the method and the path with `{id}`, as Stripe counts endpoints. Names in plain words are
commands of the admin side and of the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ops.sandbox.stripe import balance, disputes, endpoints, intents, lists, refunds
from ops.sandbox.stripe.account import Account
from ops.sandbox.stripe.params import Params

Call = Callable[[Account, str, Params], Any]

COMMANDS: dict[str, Call] = {
    "POST /v1/payment_intents": intents.create,
    "POST /v1/payment_intents/{id}": intents.update,
    "POST /v1/payment_intents/{id}/confirm": intents.confirm,
    "POST /v1/payment_intents/{id}/capture": intents.capture,
    "POST /v1/payment_intents/{id}/cancel": intents.cancel,
    "POST /v1/refunds": refunds.create,
    "POST /v1/webhook_endpoints": endpoints.create,
    "DELETE /v1/webhook_endpoints/{id}": endpoints.delete,
    "authenticate intent": intents.authenticate,
    "settle intent": intents.settle,
    "lapse intent": intents.lapse,
    "settle refund": refunds.settle,
    "close dispute": disputes.close,
    "use endpoint": endpoints.use,
    "pay out": balance.pay_out,
}

READS: dict[str, Call] = {
    "GET /v1/account": lists.account,
    "GET /v1/balance_transactions": lists.balance_transactions,
    "GET /v1/payouts": lists.payouts,
    "GET /v1/payouts/{id}": lists.payout,
    "GET /v1/payment_intents": lists.intents,
    "GET /v1/payment_intents/search": lists.search,
    "GET /v1/payment_intents/{id}": lists.intent,
    "GET /v1/charges": lists.charges,
    "GET /v1/charges/{id}": lists.charge,
    "GET /v1/refunds": lists.refund_list,
    "GET /v1/refunds/{id}": lists.refund,
    "GET /v1/disputes": lists.dispute_list,
    "GET /v1/disputes/{id}": lists.dispute,
    "GET /v1/events": lists.events,
    "GET /v1/events/{id}": lists.event,
    "GET /v1/webhook_endpoints": lists.endpoint_list,
    "GET /v1/webhook_endpoints/{id}": lists.endpoint,
}


def match(method: str, path: str) -> tuple[str, str] | None:
    """The call's name and the id in the path, or None if there is no such call."""
    version, _, rest = path.removeprefix("/").partition("/")
    parts = rest.split("/")
    id = ""
    if len(parts) > 1 and parts[1] != "search":
        id, parts[1] = parts[1], "{id}"
    name = f"{method} /{version}/{'/'.join(parts)}"
    return (name, id) if name in COMMANDS or name in READS else None
