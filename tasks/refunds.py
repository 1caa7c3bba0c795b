"""The steps of a refund: record that it is sent, call the gateway outside any transaction, record
the outcome. Notifications enqueue the same task again.
"""

import structlog

from db.connections import Conn
from db.durable import outbox
from db.payments import disputes, refunds
from db.payments.refunds import RefundOutcome, RefundProgress
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, MovedOn, TryLater
from tasks.gateways.errors import NothingHappened
from tasks.gateways.registry import gateway_of

log = structlog.get_logger()

LOOK_AGAIN = 3600
"""Seconds until the gateway is asked about a pending refund, also without a notification."""
NEXT_KEY = 0.5
"""Seconds until a refund is sent under its next key."""
NOT_YET = 5
"""Seconds until a refund is adopted if its payment is still under way here."""


@durable(queue="payments", lease=120, longest_delay=300, keep=True)
def refund(lease: Lease) -> None:
    """Refund money, or read the state of a refund that was sent."""
    progress = begin(lease)
    if progress is None:
        return
    reach("before refund")
    try:
        outcome = gateway_of(progress).refund(progress)
    except NothingHappened:
        with lease.transaction() as conn:
            refunds.use_next_key(conn, progress)
        raise TryLater(NEXT_KEY, "to be sent again under the next key") from None
    reach("after refund")
    check_sum(progress, outcome)
    with lease.transaction() as conn:
        settle(lease, conn, progress, outcome)
        reach("before refund commits")
    reach("after refund commits")
    if outcome.state == "pending":
        raise TryLater(LOOK_AGAIN, "the gateway has not given it back yet")


def begin(lease: Lease) -> RefundProgress | None:
    """Record the refund as sent; None when it has failed for good and the task is finished."""
    with lease.transaction() as conn:
        progress = refunds.get_progress(conn, lease.task.args["refund_id"])
        if progress.state == "failed":
            lease.finish(conn)
            return None
        if not progress.key_too_old:
            refunds.mark_sent(conn, progress.refund_id)
        return progress


def settle(lease: Lease, conn: Conn, progress: RefundProgress, outcome: RefundOutcome) -> None:
    """Record the refund's state, tell the buyer if needed, and finish unless it is pending."""
    if outcome.state == "failed":
        refunds.lock_booking(conn, progress)
    if not refunds.record(conn, progress, outcome):
        raise MovedOn
    if outcome.state == "failed" and refunds.is_owed(conn, progress):
        dead_letter_owed(lease, conn, progress, outcome)
    elif outcome.state == "failed":
        lease.finish(conn)
    elif outcome.state == "succeeded":
        if progress.state == "pending" and progress.cause == "asked":
            refunds.tell_buyer(conn, progress)
        lease.finish(conn)


def dead_letter_owed(
    lease: Lease, conn: Conn, progress: RefundProgress, outcome: RefundOutcome
) -> None:
    """Dead-letter a failed refund: the buyer is owed money that only a person can settle."""
    reason = f"RefundFailed: {outcome.failure_code}: {progress.amount} {progress.currency} is owed"
    log.error(
        "refund failed, its money is owed to the buyer",
        refund_id=str(progress.refund_id),
        was=progress.state,
        why=outcome.failure_code,
        amount=progress.amount,
        currency=progress.currency,
    )
    refunds.tell_buyer(conn, progress, "refund_failed")
    outbox.dead_letter(conn, lease.ids, lease.token, reason, keep=False)
    lease.finished = True


def check_sum(progress: RefundProgress, outcome: RefundOutcome) -> None:
    """Errors: WrongRefund."""
    if (outcome.amount, outcome.currency) != (progress.amount, progress.currency):
        raise WrongRefund(
            f"asked for {progress.amount} {progress.currency}, "
            f"the gateway has {outcome.amount} {outcome.currency}"
        )


class WrongRefund(UsherError):
    """The gateway has refunded another amount or currency than was asked for."""


@durable(queue="payments", longest_delay=300, keep=True)
def adopt_refund(lease: Lease) -> None:
    """Adopt a refund that was made in the gateway's dashboard."""
    args = lease.task.args
    with lease.transaction() as conn:
        case = disputes.find_case(conn, args["payment_id"])
    outcome = gateway_of(case).look_at_refund(case, args["gateway_refund_id"])
    with lease.transaction() as conn:
        done = refunds.adopt(conn, case, outcome)
        if done == "not_yet":
            raise TryLater(NOT_YET, "the payment is still under way here")
        if done == "too_much":
            raise CannotAdopt(
                f"{outcome.gateway_ref} of {outcome.amount} {outcome.currency} was made at the "
                "gateway, but the rest of the payment belongs to other refunds. Those will fail: "
                "settle them (…/settlement), and this refund is adopted automatically"
            )
        lease.finish(conn)
    log.warning("dashboard refund", refund=outcome.gateway_ref, outcome=done)


class CannotAdopt(UsherError):
    """A refund made at the gateway is larger than what is left of its payment."""
