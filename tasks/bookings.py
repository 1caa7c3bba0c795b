"""The saga of a booking: authorise, secure, capture, issue; then its compensations.

One durable task per booking, `advance` (booking_groups.py), runs all steps that are ready. A step
has three parts. A short transaction reads the states and records the call that follows. Then the
gateway is called, outside any transaction. Then a short transaction records the outcome. Authorise
and capture are such steps. Secure and issue change the booking in the transaction that records
their outcomes. A process may die between any two lines: the next worker reads the states, repeats
the call to the gateway under the same key, and goes on.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import structlog

from db.connections import Conn
from db.payments import payments
from db.payments.circuits import Slot
from db.payments.decline_limits import admit_attempt
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.runtime.faults import reach
from tasks.attempts import (
    NOT_YET,
    still_processing,
    stop,
    stop_failed,
    stop_for_good,
)
from tasks.durable.leases import Lease, MovedOn, TryLater, stop_if_told
from tasks.gateways.errors import NothingHappened, Refused, UnknownOutcome
from tasks.gateways.registry import gateway_of
from tasks.unexpected_payments import OTHER_SUM, TOO_LATE, refund_refused, refuse_unexpected

log = structlog.get_logger()

StepName = Literal["authorise", "look", "look_in_review", "capture", "withdraw", "release", "void"]

STEPS: dict[tuple[str, str | None], StepName] = {
    ("authorising", "intended"): "authorise",
    ("authorising", "unknown"): "authorise",
    ("authorising", "requires_action"): "look",
    ("authorising", "processing"): "look",
    ("review", "authorised"): "look_in_review",
    ("secured", "intended"): "authorise",
    ("secured", "unknown"): "authorise",
    ("secured", "processing"): "look",
    ("secured", "authorised"): "capture",
    **{
        ("expiring", live): "withdraw"
        for live in ("intended", "unknown", "requires_action", "processing", "authorised")
    },
    **{
        (ended, live): "void"
        for ended in ("expired", "cancelled", "failed")
        for live in ("intended", "unknown", "requires_action", "processing", "authorised")
    },
}
"""The step that is due, by the states of booking and payment; no entry: nothing is to be done."""

Step = Callable[[Lease, PaymentProgress], None]


def run_steps(lease: Lease) -> None:
    """Run a booking's steps as far as possible now."""
    while not lease.finished and (todo := next_step(lease)) is not None:
        stop_if_told()
        step, progress = todo
        step(lease, progress)


def next_step(lease: Lease) -> tuple[Step, PaymentProgress] | None:
    """Choose the due step and record it as begun; without one, finish the task and return None."""
    args = lease.task.args
    with lease.transaction() as conn:
        progress = payments.get_progress(conn, args["event_id"], args["booking_id"])
        name = choose_step(progress)
        if name is None:
            lease.finish(conn)
            return None
        if name == "authorise":
            admission = admit_attempt(conn, progress.event_id, progress.payment_id)
            if admission.seconds is not None:
                return partial(put_off, admission.seconds), progress
            if admission.verdict == "refuse":
                return refuse, progress
            mark_sent(conn, progress)
            progress = payments.get_progress(conn, args["event_id"], args["booking_id"])
        reach("before first commit")
    reach("after first commit")
    return FUNCTIONS[name], progress


def choose_step(progress: PaymentProgress) -> StepName | None:
    """The step of STEPS; or `release`, when the gateway has been away for too long."""
    name = STEPS.get((progress.booking_state, progress.payment_state))
    if name == "withdraw" and progress.gateway_gone and progress.can_be_authorised:
        return "release"
    if name == "authorise" and progress.too_late:
        return "withdraw"
    return name


def mark_sent(conn: Conn, progress: PaymentProgress) -> None:
    """Record the call before it is made. For a method that is charged at once, secure the seats
    first, so that no buyer pays for seats that expire meanwhile."""
    assert progress.payment_id is not None
    payments.mark_sent(conn, progress.event_id, progress.payment_id)
    at_once = progress.booking_state == "authorising" and not progress.can_be_authorised
    if at_once and not payments.secure_booking(conn, progress):
        raise MovedOn


MANY_DECLINED = "not sent: too many others were declined"
"""For operators; buyers are told that the payment could not be made."""
NEXT_KEY = 0.5
"""Seconds until a payment is sent under its next key."""


def authorise(lease: Lease, progress: PaymentProgress) -> None:
    """Authorise the payment, or charge it at once where the method requires that."""
    settle(lease, progress, ask_to_authorise(lease, progress))


def ask_to_authorise(
    lease: Lease, progress: PaymentProgress, slot: Slot | None = None
) -> PaymentOutcome:
    """The gateway's answer to the payment. Asking again under the same key returns the outcome of
    an earlier try."""
    reach("before authorise")
    try:
        outcome = gateway_of(progress).authorise(progress, slot)
    except UnknownOutcome:
        record_doubt(lease, progress)
        raise
    except NothingHappened:
        with lease.transaction() as conn:
            payments.use_next_key(conn, progress)
        raise TryLater(NEXT_KEY, "to be sent again under the next key") from None
    except Refused as refused:
        log.error("the gateway refused a payment", error=str(refused))
        outcome = PaymentOutcome(
            "failed", "", 0, "", failure_code="refused", failure_message=str(refused)
        )
    reach("after authorise")
    return outcome


def put_off(seconds: float, lease: Lease, progress: PaymentProgress) -> None:
    """Wait for the outcome of other payments of the same buyer or address: so no buyer takes all of
    the gateway's time, and no more of them are declined than are allowed."""
    why = "other payments of the buyer or the address are on their way"
    raise TryLater(seconds, why, put_off=True)


def refuse(lease: Lease, progress: PaymentProgress) -> None:
    """Fail a payment that was never sent, because too many others were declined."""
    outcome = PaymentOutcome(
        "failed", "", 0, "", failure_code="refused", failure_message=MANY_DECLINED
    )
    settle(lease, progress, outcome)


def record_doubt(lease: Lease, progress: PaymentProgress) -> None:
    """Mark the payment as in doubt for operators, until the gateway tells its outcome."""
    if progress.payment_state == "intended":
        with lease.transaction() as conn:
            payments.record(conn, progress, PaymentOutcome("unknown", "", 0, ""))


def look(lease: Lease, progress: PaymentProgress) -> None:
    """Ask the gateway about a payment that waits for the buyer or for the bank."""
    settle(lease, progress, stop_failed(progress, gateway_of(progress).look(progress)))


def look_in_review(lease: Lease, progress: PaymentProgress) -> None:
    """Ask the gateway whether it has ended a payment that is in review."""
    outcome = gateway_of(progress).look(progress)
    if outcome.state == "authorised":
        with lease.transaction() as conn:
            lease.finish(conn)
    else:
        settle(lease, progress, outcome)


def settle(lease: Lease, progress: PaymentProgress, outcome: PaymentOutcome) -> None:
    """Record the payment's state at the gateway, and move the booking accordingly."""
    outcome = refuse_unexpected(progress, outcome)
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        MEANING[outcome.state](lease, conn, progress)
        refund_refused(lease, conn, progress, outcome)
        if not lease.finished:
            lease.renew(conn)
        reach("before settle commits")
    reach("after settle")
    if outcome.state == "processing":
        raise still_processing(progress)


def record(conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome) -> None:
    """Record the payment's state if it is new. Errors: MovedOn."""
    if outcome.state != progress.payment_state and not payments.record(conn, progress, outcome):
        raise MovedOn


def secure(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Secure the seats of an authorised payment. If it needs a review, the task is enqueued again
    by the decision, or by the review's time limit.
    """
    became = payments.secure_or_review(conn, progress)
    if became is None:
        raise MovedOn
    if became == "review":
        reach("before review commits")
        lease.finish(conn)


def wait_for_buyer(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Finish the task; a notification or the deadline enqueues it again. Nothing was charged, so
    seats that were secured for a charge may expire again."""
    if progress.booking_state == "secured" and not payments.await_buyer(conn, progress):
        raise MovedOn
    if progress.booking_state == "expiring":
        raise TryLater(NOT_YET, "the gateway has not cancelled yet")
    lease.finish(conn)


def wait_for_bank(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Secure the seats of a charge that cannot be stopped. (A card that is in processing is only
    authorised later, and can then be voided.)"""
    at_once = not progress.can_be_authorised and not given_up(progress)
    if at_once and not ensure_secured(conn, progress):
        raise MovedOn


def ensure_secured(conn: Conn, progress: PaymentProgress) -> bool:
    """Secure the seats if they are not yet. A payment that was charged is not reviewed."""
    return progress.booking_state == "secured" or payments.secure_booking(conn, progress)


def capture(lease: Lease, progress: PaymentProgress) -> None:
    """Capture the payment, and issue in the transaction that records this."""
    settle_capture(lease, progress, ask_to_capture(lease, progress))


def ask_to_capture(
    lease: Lease, progress: PaymentProgress, slot: Slot | None = None
) -> PaymentOutcome:
    """Capture the payment. If capturing has failed until the authorisation is about to lapse, void
    it instead, so that the buyer's money is not held for nothing."""
    assert progress.gateway_ref is not None
    reach("before capture")
    if progress.lapsing:
        outcome = gateway_of(progress).cancel(progress, progress.gateway_ref)
    else:
        outcome = stop_failed(progress, gateway_of(progress).capture(progress, slot))
    reach("after capture")
    return outcome


def settle_capture(lease: Lease, progress: PaymentProgress, outcome: PaymentOutcome) -> None:
    """Record what became of the payment at its capture, and issue or end the booking."""
    if outcome.state in ("authorised", "processing"):
        raise TryLater(NOT_YET, "the gateway has not captured yet")
    outcome = refuse_unexpected(progress, outcome)
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        if outcome.state == "captured":
            issue(lease, conn, progress)
        else:
            end_uncaptured(lease, conn, progress, outcome)
        refund_refused(lease, conn, progress, outcome)
        reach("before issue commits")
    reach("after issue")


def issue(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Confirm the booking of a captured payment: seats sold, tickets made, an e-mail on its way.
    A confirmed booking has no step: what notifications asked for meanwhile is done.
    """
    if not ensure_secured(conn, progress) or not payments.confirm_booking(conn, progress):
        raise MovedOn
    lease.finish(conn, for_good=True)


# Compensations, in reverse order. Seats are released only when no payment can still succeed.


def end_uncaptured(
    lease: Lease, conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome
) -> None:
    """End a booking for which no money could be captured, or another sum than was asked for."""
    reason = OTHER_SUM if outcome.failure_code == OTHER_SUM else "authorisation_lapsed"
    if reason != OTHER_SUM:
        log.error("an authorisation lapsed before its capture", state=outcome.state)
    if not payments.end_booking(conn, progress, "failed", reason):
        raise MovedOn
    lease.finish(conn)


def reopen_or_end(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Let the buyer pay again, since nothing was charged; or end the booking."""
    if progress.booking_state == "authorising":
        done = payments.reopen_booking(conn, progress)
    elif progress.booking_state == "review":
        done = payments.end_booking(conn, progress, "failed", "authorisation_lapsed")
    elif progress.booking_state == "secured":
        done = payments.reopen_booking(conn, progress) or payments.end_booking(
            conn, progress, "failed", "declined"
        )
    elif given_up(progress):
        reason = progress.booking_reason or ""
        done = payments.end_booking(conn, progress, "cancelled", reason)
    else:
        done = payments.end_booking(conn, progress, "expired", "deadline")
    if not done:
        raise MovedOn
    lease.finish(conn)


def given_up(progress: PaymentProgress) -> bool:
    """Whether the buyer or the organisation cancelled while the payment was under way."""
    return progress.booking_reason in ("buyer", "event_cancelled")


def withdraw(lease: Lease, progress: PaymentProgress) -> None:
    """Stop a payment whose deadline has passed, unless it succeeded. A charge that could not be
    sent in time is given up, so that no buyer is charged long after leaving."""
    reach("before withdraw")
    outcome = stop(progress, spare_authorised=not given_up(progress))
    reach("after withdraw")
    settle(lease, progress, outcome)


def release(lease: Lease, progress: PaymentProgress) -> None:
    """End a booking whose gateway has been away for so long that its seats should be sold again.
    A payment that can only be authorised is voided when the gateway is back."""
    state, reason = ("expired", "gateway_away")
    if given_up(progress):
        state, reason = "cancelled", progress.booking_reason or ""
    with lease.transaction() as conn:
        if not payments.end_booking(conn, progress, state, reason):
            raise MovedOn
        lease.renew(conn)


def void(lease: Lease, progress: PaymentProgress) -> None:
    """Void or refund the payment of a booking that has ended."""
    outcome = refuse_unexpected(progress, stop_for_good(progress))
    reach("after void")
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        if outcome.captured:
            payments.refund_unexpected(conn, progress, TOO_LATE)
        if outcome.state != "processing":
            lease.finish(conn)
    if outcome.state == "processing":
        raise still_processing(progress)


FUNCTIONS: dict[StepName, Step] = {
    "authorise": authorise,
    "look": look,
    "look_in_review": look_in_review,
    "capture": capture,
    "withdraw": withdraw,
    "release": release,
    "void": void,
}

MEANING: dict[str, Callable[[Lease, Conn, PaymentProgress], None]] = {
    "authorised": secure,
    "requires_action": wait_for_buyer,
    "processing": wait_for_bank,
    "captured": issue,
    "failed": reopen_or_end,
    "voided": reopen_or_end,
}
"""The function that moves the booking, by the payment's state."""
