"""The ledger: what the gateway holds, captured and refunded, independent of Usher's tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from ops.sandbox.stripe.account import Account, Dispute, Intent, Refund

Amounts = dict[str, int]
AMOUNTS = ("authorised", "held", "captured", "released", "refunded", "disputed", "fees")


def ledger(account: Account, by: str, *, detail: bool = True) -> dict[str, Any]:
    """Totals per currency in minor units, per booking (the metadata key `by`) and per intent.

    authorised: all successful authorisations. They divide into held (neither captured nor
    released), captured, and released (voided without capture). refunded: pending or succeeded
    refunds of captured money. disputed: captured money in open or lost disputes. fees: always 0.
    net: captured - refunded - disputed.
    """
    refunded = summed([refund for refund in account.refunds if refund.status != "failed"])
    disputed = summed([dispute for dispute in account.disputes if dispute.status != "won"])
    currencies: dict[str, Counter[str]] = defaultdict(Counter)
    bookings: dict[str, Counter[str]] = defaultdict(Counter)
    intents = []
    disputes = [
        {"id": one.id, "intent": one.intent, "amount": one.amount, "status": one.status}
        for one in account.disputes
    ]
    for intent in account.intents:
        row = amounts(intent, refunded[intent.id], disputed[intent.id])
        currencies[intent.currency].update(row)
        if by in intent.metadata:
            bookings[intent.metadata[by]].update({"intents": 1, **counts(intent), **row})
        if detail:
            intents.append(described(intent, row))
    return {
        "intents_by_status": Counter(intent.status for intent in account.intents),
        "currencies": {name: finished(total) for name, total in currencies.items()},
        "charged_twice": [name for name, row in bookings.items() if row["captures"] > 1],
        **({"bookings": bookings, "intents": intents, "disputes": disputes} if detail else {}),
    }


def summed(rows: list[Refund] | list[Dispute]) -> Counter[str]:
    """Amounts by intent."""
    total: Counter[str] = Counter()
    for row in rows:
        total[row.intent] += row.amount
    return total


def amounts(intent: Intent, refunded: int, disputed: int) -> Amounts:
    charge = intent.latest
    good = charge if charge and charge.status == "succeeded" else None
    return {
        "authorised": good.amount if good else 0,
        "held": intent.amount if intent.status == "requires_capture" else 0,
        "captured": good.amount_captured if good else 0,
        "released": good.released if good else 0,
        "refunded": refunded,
        "disputed": disputed,
        "fees": 0,
    }


def counts(intent: Intent) -> Amounts:
    """How many charges went through, and how many of them took money."""
    return {
        "charges": sum(charge.status == "succeeded" for charge in intent.charges),
        "captures": sum(charge.captured for charge in intent.charges),
    }


def described(intent: Intent, row: Amounts) -> dict[str, Any]:
    return {
        "id": intent.id,
        "created": intent.created,
        "status": intent.status,
        "currency": intent.currency,
        "metadata": intent.metadata,
        **counts(intent),
        **row,
    }


def finished(total: Counter[str]) -> Amounts:
    net = total["captured"] - total["refunded"] - total["disputed"]
    return {**{name: total[name] for name in AMOUNTS}, "net": net}
