"""Disputes: the buyer's bank takes the money back until the case is won or lost."""

from __future__ import annotations

from dataclasses import replace

from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Charge, Dispute
from ops.sandbox.stripe.errors import invalid, missing
from ops.sandbox.stripe.params import Params


def open(account: Account, charge: Charge, reason: str) -> Dispute:
    dispute = Dispute(
        id=account.new_id("du"),
        created=int(account.now),
        amount=charge.amount_captured - charge.refunded,
        currency=charge.currency,
        charge=charge.id,
        intent=charge.intent,
        reason=reason,
        status="needs_response",
    )
    account.put_charge(replace(charge, disputed=True))
    account.disputes.put(dispute)
    account.emit("charge.dispute.created", dispute)
    account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def get(account: Account, id: str) -> Dispute:
    found = account.disputes.get(id)
    if found is None:
        raise missing("dispute", id)
    return found


def close(account: Account, id: str, params: Params) -> Dispute:
    """The bank decides; `outcome` is `won` or `lost`."""
    dispute = get(account, id)
    if dispute.status != "needs_response":
        raise invalid(f"Dispute {id} is already {dispute.status}.")
    outcome = read.outcome(params, ("won", "lost"))
    dispute = replace(dispute, status=outcome)
    account.disputes.put(dispute)
    account.emit("charge.dispute.closed", dispute)
    if outcome == "won":
        account.emit("charge.dispute.funds_reinstated", dispute)
    return dispute
