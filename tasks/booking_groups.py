"""The actor of bookings' sagas. One booking goes its way alone (bookings.py); where the relay sends
several of one gateway account in a message, they go the usual way as a group.

The usual way: a card is authorised, the booking secured, the payment captured, the tickets issued.
Calls to the gateway are made side by side. A transaction records the answers that have come, and
another one those that come later. It takes its locks in one order: tasks by id, bookings by key,
payments by id, seats by number. If the worker dies, it dies over the whole group; each task is then
sent alone, and finds what was begun.

A member of which anything is unusual leaves the group and goes on alone: another step is due, it
was declined or its outcome is unknown, the bank asks the buyer, the sum differs, or there is no
slot for its call. If the transaction of the group fails, all of them go on alone, so that only the
one fails that is the cause.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar
from uuid import UUID

import structlog

from db.connections import Conn
from db.durable.outbox import Task
from db.payments import payments
from db.payments.circuits import Slot
from db.payments.decline_limits import send_attempts
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from tasks import bookings
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, stop_if_told
from tasks.durable.side_by_side import Beside, Returns, beside
from tasks.gateways.registry import FOR_GROUPS
from tasks.unexpected_payments import is_as_asked

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


@durable(queue="payments", batch=20, lease=120, longest_delay=300, keep=True)
def advance(lease: Lease) -> None:
    """Run the steps of a booking, or of a group, as far as possible now."""
    if len(lease.tasks) == 1:
        bookings.run_steps(lease)
    else:
        with beside(lease) as (now, others):
            if now.tasks:
                Group(now, others).advance()


@dataclass(frozen=True)
class Member:
    """A booking of the group, and the lease of its own task."""

    lease: Lease
    progress: PaymentProgress


@dataclass(frozen=True)
class Answered(Member):
    """A member, and what the gateway answered to its call in a step."""

    outcome: PaymentOutcome
    step: "Step"


Recorded = tuple[set[UUID], list[Member]]
"""The payments whose answers a transaction has recorded, and the members that go on."""


@dataclass(frozen=True)
class Step:
    """A call for all members, and the transaction that records the answers.

    usual: the payment's state after it. ask: makes the call for one member. record: records the
    usual answers of the group; settle: records any answer, for one member alone. commit: the name
    of the transaction at its crash points.
    """

    name: str
    usual: str
    ask: Callable[[Lease, PaymentProgress, Slot | None], PaymentOutcome]
    record: Callable[[Conn, Lease, Sequence[Answered]], Recorded]
    settle: Callable[[Lease, PaymentProgress, PaymentOutcome], None]
    commit: str


@dataclass(frozen=True)
class Group:
    """The bookings of one message, and the threads beside that of the message."""

    lease: Lease
    others: Beside
    answers: Returns[Answered] = field(default_factory=Returns)

    def advance(self) -> None:
        """Go the usual way with the bookings, with each as soon as its answers are there."""
        self.ask(AUTHORISE, self.begin())
        while answered := self.answers.take():
            for step in (CAPTURE, AUTHORISE):
                members = self.record(step, [each for each in answered if each.step is step])
                self.ask(CAPTURE, members)
            self.others.keep(len(self.others.running()) + len(self.answers.back))

    def begin(self) -> list[Member]:
        """Mark first attempts to pay as sent: these are the members. The other tasks go on alone,
        or end if nothing is to be done."""
        members, ended = self.attempt(send, self.lease) or ([], set())
        in_group = {member.lease.task.id for member in members}
        rest = [task for task in self.lease.tasks if task.id not in in_group | ended]
        self.go_on_alone([self.lease.of([task]) for task in rest])
        return members

    def ask(self, step: Step, members: Sequence[Member]) -> None:
        """Make the call for each member, side by side."""
        due = [member for member in members if is_due(step, member.progress)]
        slots = self.attempt(take_slots, step, due) if due else []
        if slots is None:
            due, slots = [], []
        self.go_on_alone([member.lease for member in members if member not in due])
        for member, slot in zip(due, slots, strict=True):
            self.answers.expect()
            self.others.start(take_part, member.lease, step, member.progress, slot, self.answers)

    def record(self, step: Step, answered: Sequence[Answered]) -> list[Member]:
        """Record the answers in one transaction; the members that go on. The answers of bookings
        that have changed meanwhile are recorded alone, and so are all if the transaction fails."""
        if not answered:
            return []
        recorded, members = self.attempt(record_all, self.lease, step, answered) or (set(), [])
        for each in answered:
            if each.progress.payment_id not in recorded:
                self.others.start(settle_alone, each.lease, step, each.progress, each.outcome)
        return members

    def attempt(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do something for the whole group. None: it failed, or the process is to stop; each
        member goes on alone and finds out whether it is the cause."""
        try:
            stop_if_told()
            return work(*args, **kwargs)
        except Exception as error:
            told = None if isinstance(error, UsherError) else error
            why = f"{type(error).__name__}: {error}"
            log.warning("a group breaks up", error=why, exc_info=told)
            return None

    def go_on_alone(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self.others.start(bookings.run_steps, lease)


def send(lease: Lease) -> tuple[list[Member], set[int]]:
    """Mark first attempts to pay as sent. The members, and the ids of the tasks that have ended."""
    with lease.shared_transaction() as (conn, held):
        read = list_members(conn, lease, [task for task in lease.tasks if task.id in held])
        idle = [each.lease.task for each in read if bookings.choose_step(each.progress) is None]
        if idle:
            lease.of(idle).finish(conn)
        sent = mark_sent(conn, lease, usual_members(read))
        reach("before first commit")
    reach("after first commit")
    return sent, {task.id for task in idle}


def usual_members(read: Iterable[Member]) -> list[Member]:
    """Those that go the usual way: of one gateway account, and of each buyer one, since a review
    counts what the buyer pays beside it."""
    usual: dict[int, Member] = {}
    for member in read:
        if is_usual(member.progress):
            usual.setdefault(member.progress.buyer_id, member)
    accounts = [member.progress.gateway_account_id for member in usual.values()]
    return [each for each in usual.values() if each.progress.gateway_account_id == accounts[0]]


def is_usual(progress: PaymentProgress) -> bool:
    """Whether the payment is to be authorised for the first time, at a gateway for groups."""
    return (
        bookings.choose_step(progress) == "authorise"
        and progress.booking_state == "authorising"
        and progress.first_sent_at is None
        and progress.can_be_authorised
        and progress.provider in FOR_GROUPS
    )


def mark_sent(conn: Conn, lease: Lease, members: Sequence[Member]) -> list[Member]:
    """Mark attempts as sent that may be sent now, and read them again."""
    if not members:
        return []
    attempts = [(each.progress.event_id, each.progress.payment_id) for each in members]
    sent = send_attempts(conn, attempts)
    tasks = [each.lease.task for each in members if each.progress.payment_id in sent]
    return list_members(conn, lease, tasks)


def list_members(conn: Conn, lease: Lease, tasks: Sequence[Task]) -> list[Member]:
    """The progress of tasks' bookings; a booking that does not exist is missing."""
    if not tasks:  # every lease was lost
        return []
    by_booking = {task.args["booking_id"]: task for task in tasks}
    wanted = [(task.args["event_id"], task.args["booking_id"]) for task in tasks]
    read = payments.list_progress(conn, wanted)
    return [Member(lease.of([by_booking[str(each.booking_id)]]), each) for each in read]


def is_due(step: Step, progress: PaymentProgress) -> bool:
    return bookings.choose_step(progress) == step.name and not progress.lapsing


def take_slots(step: Step, members: Sequence[Member]) -> list[Slot]:
    """Take slots for the members' calls, in one statement. A call without one leaves the group."""
    paid = members[0].progress
    gateway = FOR_GROUPS[paid.provider]
    return gateway.take_slots(paid.gateway_account_id, step.name, len(members))


def take_part(
    lease: Lease,
    step: Step,
    progress: PaymentProgress,
    slot: Slot | None,
    answers: Returns[Answered],
) -> None:
    """Make one member's call, in a thread of its own. An answer that is not the usual one is
    recorded alone."""
    try:
        outcome = step.ask(lease, progress, slot)
    except BaseException:
        answers.come_back()
        raise
    if outcome.state == step.usual and is_as_asked(progress, outcome):
        answers.come_back(Answered(lease, progress, outcome, step))
    else:
        answers.come_back()
        settle_alone(lease, step, progress, outcome)


def settle_alone(
    lease: Lease, step: Step, progress: PaymentProgress, outcome: PaymentOutcome
) -> None:
    """Record an answer for one member, which goes on alone."""
    step.settle(lease, progress, outcome)
    bookings.run_steps(lease)


def record_all(lease: Lease, step: Step, answered: Sequence[Answered]) -> Recorded:
    """Record the answers whose tasks this worker still has."""
    tasks = [each.lease.task for each in answered]
    with lease.of(tasks).shared_transaction() as (conn, held):
        mine = [each for each in answered if each.lease.task.id in held]
        recorded, members = step.record(conn, lease, mine) if mine else (set(), [])
        reach(f"before {step.commit} commits")
    reach(f"after {step.commit}")
    return recorded, members


def secure(conn: Conn, lease: Lease, answered: Sequence[Answered]) -> Recorded:
    """Secure the bookings of authorised payments. Those that need a review have ended their task:
    the decision, or the review's time limit, enqueues it again."""
    became = payments.secure_group(conn, [(each.progress, each.outcome) for each in answered])
    reviewed = tasks_of(answered, {id for id, state in became.items() if state == "review"})
    if reviewed:
        reach("before review commits")
        lease.of(reviewed).finish(conn)
    secured = tasks_of(answered, {id for id, state in became.items() if state == "secured"})
    if not secured:
        return set(became), []
    lease.of(secured).renew(conn)
    return set(became), list_members(conn, lease, secured)


def issue(conn: Conn, lease: Lease, answered: Sequence[Answered]) -> Recorded:
    """Confirm the bookings of captured payments: seats sold, tickets made, e-mails on their way."""
    issued = payments.issue_group(conn, [(each.progress, each.outcome) for each in answered])
    if issued:
        lease.of(tasks_of(answered, issued)).finish(conn, for_good=True)
    return issued, []


def tasks_of(answered: Sequence[Answered], paid: set[UUID]) -> list[Task]:
    """The tasks of those payments."""
    return [each.lease.task for each in answered if each.progress.payment_id in paid]


AUTHORISE = Step(
    "authorise", "authorised", bookings.ask_to_authorise, secure, bookings.settle, "settle"
)
CAPTURE = Step(
    "capture", "captured", bookings.ask_to_capture, issue, bookings.settle_capture, "issue"
)
