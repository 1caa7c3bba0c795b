"""The money that an account has at the gateway: its balance transactions, fees and payouts.

Transactions follow from charges, refunds and disputes; payouts are commands of the admin side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Payout, Shelf
from ops.sandbox.stripe.errors import invalid
from ops.sandbox.stripe.params import Params

FEE_RATE, FEE_FIXED, DISPUTE_FEE = 0.015, 25, 1500
"""Stripe's prices of a card of the European Economic Area, in minor units."""


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """A change of the balance; amount is signed, and net is amount less fee."""

    id: str
    created: int
    type: str
    source: str
    amount: int
    fee: int
    currency: str
    intent: str | None = None
    payout: str | None = None

    @property
    def net(self) -> int:
        return self.amount - self.fee


def transactions(account: Account) -> Shelf[BalanceTransaction]:
    """All transactions, in the order of their time."""
    paid = {id: payout.id for payout in account.payouts for id in payout.transactions}
    found: Shelf[BalanceTransaction] = Shelf()
    for row in sorted(of_objects(account), key=lambda row: (row.created, row.id)):
        found.put(
            BalanceTransaction(
                row.id, row.created, row.type, row.source, row.amount, row.fee, row.currency,
                row.intent, paid.get(row.id) or row.payout,
            )
        )  # fmt: skip
    return found


def of_objects(account: Account) -> Iterator[BalanceTransaction]:
    for intent in account.intents:
        for charge in intent.charges:
            if charge.captured:
                fee = round(charge.amount_captured * FEE_RATE) + FEE_FIXED
                yield BalanceTransaction(
                    f"txn_{charge.id}", charge.created, "charge", charge.id,
                    charge.amount_captured, fee, charge.currency, charge.intent,
                )  # fmt: skip
    for refund in account.refunds:
        yield BalanceTransaction(
            f"txn_{refund.id}", refund.created, "refund", refund.id,
            -refund.amount, 0, refund.currency, refund.intent,
        )  # fmt: skip
        if refund.status == "failed":
            yield BalanceTransaction(
                f"txn_{refund.id}_failed", refund.created, "refund_failure", refund.id,
                refund.amount, 0, refund.currency, refund.intent,
            )  # fmt: skip
    for dispute in account.disputes:
        yield BalanceTransaction(
            f"txn_{dispute.id}", dispute.created, "adjustment", dispute.id,
            -dispute.amount, DISPUTE_FEE, dispute.currency, dispute.intent,
        )  # fmt: skip
    for payout in account.payouts:
        yield BalanceTransaction(
            f"txn_{payout.id}", payout.created, "payout", payout.id,
            -payout.amount, 0, payout.currency, None, payout.id,
        )  # fmt: skip


def pay_out(account: Account, _id: str, params: Params) -> Payout:
    """Pay out everything of a currency that was not paid out yet."""
    currency = read.required(params, "currency")
    rows = [row for row in transactions(account) if not row.payout and row.currency == currency]
    amount = sum(row.net for row in rows)
    if amount <= 0:
        raise invalid(f"There is nothing to pay out in {currency}.")
    payout = Payout(
        id=account.new_id("po"),
        created=int(account.now),
        amount=amount,
        currency=currency,
        status="paid",
        arrival=int(account.now) + 86_400,
        transactions=tuple(row.id for row in rows),
    )
    account.payouts.put(payout)
    return payout
