"""The saga of a booking: authorise, secure, capture, issue; and its way back.

One durable task per booking, `advance`, runs whatever steps are ready. A step is: a short
transaction that reads how far things are and records what is about to be done; the call to the
gateway, outside any transaction; a short transaction that records the outcome. A process may die
between any two lines: the next worker reads how far things are, asks the gateway again under the
same key, and goes on.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from db.connections import Conn
from db.payments import payments
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from tasks.durable.broker import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told
from tasks.gateways.registry import NothingHappened, Refused, UnknownOutcome, gateway_of

log = structlog.get_logger()


@durable(queue="bookings", lease=120, longest_delay=300, keep=True)
def advance(lease: Lease) -> None:
    """Carry a booking on, as far as it can go now."""
    while not lease.finished and (todo := next_step(lease)) is not None:
        stop_if_told()
        step, progress = todo
        step(lease, progress)


Step = Callable[[Lease, PaymentProgress], None]


def next_step(lease: Lease) -> tuple[Step, PaymentProgress] | None:
    """The step that is due, recorded as begun; None: none is, and the task is finished."""
    args = lease.task.args
    with lease.transaction() as conn:
        progress = payments.get_progress(conn, args["event_id"], args["booking_id"])
        step = STEPS.get((progress.booking_state, progress.payment_state))
        if step is None:
            lease.finish(conn)
            return None
        if step is withdraw and progress.gateway_gone and progress.can_be_authorised:
            step = release
        if step is authorise and progress.too_late:
            step = withdraw
        if step is authorise:
            mark_sent(conn, progress)
            progress = payments.get_progress(conn, args["event_id"], args["booking_id"])
        reach("before first commit")
    reach("after first commit")
    return step, progress


def mark_sent(conn: Conn, progress: PaymentProgress) -> None:
    """Recorded before the gateway is called. A method that cannot be authorised is charged by that
    call, so its seats are secured first: nobody pays for seats that expire meanwhile."""
    assert progress.payment_id is not None
    payments.mark_sent(conn, progress.payment_id)
    at_once = progress.booking_state == "authorising" and not progress.can_be_authorised
    if at_once and not payments.secure_booking(conn, progress):
        raise MovedOn


def authorise(lease: Lease, progress: PaymentProgress) -> None:
    """Reserve the money, or take it, where that is the only way. Asking again under the same key
    tells what became of an earlier try."""
    reach("before authorise")
    try:
        outcome = gateway_of(progress).authorise(progress)
    except UnknownOutcome:
        remember_doubt(lease, progress)
        raise
    except NothingHappened:
        with lease.transaction() as conn:
            payments.use_next_key(conn, progress)
        raise TryLater(0.5, "to be sent again under the next key") from None
    except Refused as refused:
        log.error("the gateway refused a payment", error=str(refused))
        outcome = PaymentOutcome(
            "failed", "", 0, "", failure_code="refused", failure_message=REFUSED
        )
    reach("after authorise")
    settle(lease, progress, outcome)


REFUSED = "The payment could not be made. Nothing was charged: try again, or with another card."
"""For buyers; what the gateway says is meant for us, and may name our account."""


def remember_doubt(lease: Lease, progress: PaymentProgress) -> None:
    """The payment is in doubt until the gateway tells; operators see it."""
    if progress.payment_state == "intended":
        with lease.transaction() as conn:
            payments.record(conn, progress, PaymentOutcome("unknown", "", 0, ""))


def check(lease: Lease, progress: PaymentProgress) -> None:
    """It was the buyer's turn, or the bank's, and something has happened since."""
    settle(lease, progress, end_failed(progress, gateway_of(progress).look(progress)))


def end_failed(progress: PaymentProgress, outcome: PaymentOutcome) -> PaymentOutcome:
    """An intent that failed can be tried again in a browser: only a cancelled one is over."""
    if outcome.state != "failed":
        return outcome
    cancelled = gateway_of(progress).cancel(progress, outcome.gateway_id)
    return outcome if cancelled.state == "voided" else cancelled


def settle(lease: Lease, progress: PaymentProgress, outcome: PaymentOutcome) -> None:
    """Record what the gateway says the payment is, and move the booking accordingly."""
    outcome = refuse_wrong_money(progress, outcome)
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        SETTLED[outcome.state](lease, conn, progress)
        compensate(lease, conn, progress, outcome)
        if not lease.finished:
            lease.renew(conn)
        reach("before settle commits")
    reach("after settle")
    if outcome.state == "processing":
        raise still_processing(progress)


def record(conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome) -> None:
    """Write down what the payment is, if that is news. Errors: MovedOn."""
    if outcome.state != progress.payment_state and not payments.record(conn, progress, outcome):
        raise MovedOn


def on_authorised(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """The seats are the buyer's from here on: they cannot expire any more. Where a person has to
    look at the payment first, a decision, or the end of its time, wakes the task again.
    """
    became = payments.secure_or_review(conn, progress)
    if became is None:
        raise MovedOn
    if became == "review":
        reach("before review commits")
        lease.finish(conn)


def on_requires_action(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """The buyer's turn; a notification, or the deadline, wakes the task again. Nothing was charged,
    so seats that were secured for a charge can expire again."""
    if progress.booking_state == "secured" and not payments.await_buyer(conn, progress):
        raise MovedOn
    if progress.booking_state == "expiring":
        raise TryLater(5, "the gateway has not cancelled yet")
    lease.finish(conn)


def on_processing(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """The bank's turn, and the charge cannot be stopped: its seats cannot expire any more. (A card
    is only authorised late, which can be voided.)"""
    at_once = not progress.can_be_authorised and not given_up(progress)
    if at_once and not is_secured(conn, progress):
        raise MovedOn


def on_failed(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Nothing was charged: the buyer may pay again, or the time is over."""
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


def on_captured(lease: Lease, conn: Conn, progress: PaymentProgress) -> None:
    """Paid at once, without a step between."""
    if not is_secured(conn, progress) or not payments.confirm_booking(conn, progress):
        raise MovedOn
    lease.finish(conn)


def is_secured(conn: Conn, progress: PaymentProgress) -> bool:
    """Now, or before it was charged at once. Nobody reviews money that was taken."""
    return progress.booking_state == "secured" or payments.secure_booking(conn, progress)


SETTLED: dict[str, Callable[[Lease, Conn, PaymentProgress], None]] = {
    "authorised": on_authorised,
    "requires_action": on_requires_action,
    "processing": on_processing,
    "failed": on_failed,
    "voided": on_failed,
    "captured": on_captured,
}


def watch(lease: Lease, progress: PaymentProgress) -> None:
    """In review, where nobody but a person decides; unless the gateway has ended the payment."""
    outcome = gateway_of(progress).look(progress)
    if outcome.state == "authorised":
        with lease.transaction() as conn:
            lease.finish(conn)
    else:
        settle(lease, progress, outcome)


def capture(lease: Lease, progress: PaymentProgress) -> None:
    """Take the money, then issue: seats sold, tickets made, e-mail on its way."""
    reach("before capture")
    outcome = take_or_leave(progress)
    reach("after capture")
    if outcome.state in ("authorised", "processing"):
        raise TryLater(5, "the gateway has not captured yet")
    outcome = refuse_wrong_money(progress, outcome)
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        if not issue(conn, progress, outcome):
            raise MovedOn
        compensate(lease, conn, progress, outcome)
        lease.finish(conn)
        reach("before issue commits")
    reach("after issue")


def take_or_leave(progress: PaymentProgress) -> PaymentOutcome:
    """Capture; or, where that has not worked for so long that the authorisation is about to lapse,
    void it, so that the buyer's money is not held for nothing."""
    assert progress.gateway_id is not None
    if progress.lapsing:
        return gateway_of(progress).cancel(progress, progress.gateway_id)
    return end_failed(progress, gateway_of(progress).capture(progress))


def issue(conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome) -> bool:
    """The booking's end, as its capture went."""
    if outcome.state == "captured":
        return payments.confirm_booking(conn, progress)
    if outcome.failure_code == WRONG_MONEY:
        return payments.end_booking(conn, progress, "failed", WRONG_MONEY)
    log.error("an authorisation lapsed before its capture", state=outcome.state)
    return payments.end_booking(conn, progress, "failed", "authorisation_lapsed")


# The way back: in reverse, and seats are released only when no payment can still succeed.


def withdraw(lease: Lease, progress: PaymentProgress) -> None:
    """The deadline has passed while the buyer was paying: stop the payment, unless it succeeded. So
    it does for a charge that could not be sent in time: nobody is charged who has gone long ago."""
    reach("before withdraw")
    outcome = stop_payment(progress, spare_authorised=not given_up(progress))
    reach("after withdraw")
    settle(lease, progress, outcome)


def release(lease: Lease, progress: PaymentProgress) -> None:
    """The gateway cannot be asked for so long that the seats do not wait for it: money that can
    only be authorised is voided when it is back."""
    state, reason = ("expired", "gateway_away")
    if given_up(progress):
        state, reason = "cancelled", progress.booking_reason or ""
    with lease.transaction() as conn:
        if not payments.end_booking(conn, progress, state, reason):
            raise MovedOn
        lease.renew(conn)


def given_up(progress: PaymentProgress) -> bool:
    """The buyer, or the organiser, cancelled while the payment was under way: no seats wanted."""
    return progress.booking_reason in ("buyer", "event_cancelled")


def stop_payment(progress: PaymentProgress, *, spare_authorised: bool) -> PaymentOutcome:
    """Cancel whatever the gateway has of it; what was never sent has failed."""
    never = PaymentOutcome("failed", "", 0, "", failure_code="not_sent")
    if progress.first_sent_at is None:
        return never
    try:
        outcome = gateway_of(progress).look(progress)
    except NothingHappened:
        return never
    done = ("voided", "captured", "authorised") if spare_authorised else ("voided", "captured")
    if outcome.state in done:
        return outcome
    return gateway_of(progress).cancel(progress, outcome.gateway_id)


def void(lease: Lease, progress: PaymentProgress) -> None:
    """The booking has ended, and money is still reserved for it, or was taken: give it back."""
    outcome = refuse_wrong_money(progress, give_back(progress))
    reach("after void")
    with lease.transaction() as conn:
        record(conn, progress, outcome)
        if outcome.captured:
            payments.return_money(conn, progress, LATE_MONEY)
        if outcome.state != "processing":
            lease.finish(conn)
    if outcome.state == "processing":
        raise still_processing(progress)


def give_back(progress: PaymentProgress) -> PaymentOutcome:
    """Make sure that nothing is reserved for a payment; what was captured has to be refunded, and
    what is still being processed may be."""
    outcome = stop_payment(progress, spare_authorised=False)
    if outcome.state not in ("voided", "failed", "captured", "processing"):
        raise TryLater(5, "the gateway has not cancelled yet")
    return outcome


def still_processing(progress: PaymentProgress) -> UsherError:
    """To be raised: the gateway tells us when it is done, and we look now and then all the same."""
    if progress.overdue:
        return StillProcessing(f"{progress.method}: see payment {progress.gateway_id}")
    seconds = 10 if progress.can_be_authorised else 300
    return TryLater(seconds, "the gateway is still processing the payment")


@durable(queue="bookings", lease=120, longest_delay=300, keep=True)
def return_stray(lease: Lease) -> None:
    """A payment that was written down as failed has money after all: give it back."""
    args = lease.task.args
    with lease.transaction() as conn:
        progress = payments.get_progress(
            conn, args["event_id"], args["booking_id"], args["payment_id"]
        )
    outcome = give_back(progress)
    if outcome.state == "processing":
        raise still_processing(progress)
    with lease.transaction() as conn:
        if outcome.captured:
            stray = replace(outcome, state="failed", failure_code=LATE_MONEY)
            if not payments.record(conn, progress, stray):
                raise MovedOn
            payments.return_money(conn, progress, LATE_MONEY)
        lease.finish(conn)


LATE_MONEY, WRONG_MONEY = "late_money", "wrong_money"
"""Why money goes back though nobody asked for it."""


STEPS: dict[tuple[str, str | None], Step] = {
    ("authorising", "intended"): authorise,
    ("authorising", "unknown"): authorise,
    ("authorising", "requires_action"): check,
    ("authorising", "processing"): check,
    ("review", "authorised"): watch,
    ("secured", "intended"): authorise,
    ("secured", "unknown"): authorise,
    ("secured", "processing"): check,
    ("secured", "authorised"): capture,
    **{
        ("expiring", live): withdraw
        for live in ("intended", "unknown", "requires_action", "processing", "authorised")
    },
    **{
        (ended, live): void
        for ended in ("expired", "cancelled", "failed")
        for live in ("intended", "unknown", "requires_action", "processing", "authorised")
    },
}
"""By the states of booking and payment; no step: there is nothing to do."""


def refuse_wrong_money(progress: PaymentProgress, outcome: PaymentOutcome) -> PaymentOutcome:
    """Never silently accepted: the gateway must hold, or have taken, exactly what was asked for.
    What it holds otherwise is voided here; what it took is a failure, whose money goes back.
    """
    if outcome.state not in ("authorised", "captured"):
        return outcome
    amount = outcome.captured if outcome.state == "captured" else outcome.amount
    if (amount, outcome.currency) == (progress.amount, progress.payment_currency):
        return outcome
    wrong = (
        f"asked for {progress.amount} {progress.payment_currency}, "
        f"the gateway has {amount} {outcome.currency}"
    )
    log.error("wrong money goes back", error=wrong, state=outcome.state)
    if outcome.state == "authorised":
        outcome = gateway_of(progress).cancel(progress, outcome.gateway_id)
    if outcome.state not in ("voided", "captured"):
        raise TryLater(5, "the gateway has not cancelled yet")
    state = "voided" if outcome.state == "voided" else "failed"
    return replace(outcome, state=state, failure_code=WRONG_MONEY, failure_message=wrong)


def compensate(
    lease: Lease, conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome
) -> None:
    """Wrong money goes back, and a person is called: it says that somebody changed our payment."""
    if outcome.failure_code == WRONG_MONEY:
        payments.return_money(conn, progress, WRONG_MONEY)
        lease.call_out(conn, f"WrongMoney: {outcome.failure_message}")


class MovedOn(UsherError):
    """Somebody changed the booking or its payment meanwhile: read again what it is."""

    permanent = False


class StillProcessing(UsherError):
    """The gateway has not come to an end with a payment for far longer than it should take."""
