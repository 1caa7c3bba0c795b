"""The forms of `make chaos` (ops/chaos/__main__.py)."""

from dataclasses import replace

from ops.chaos.forms import FAULTS, LONG
from ops.chaos.plan import Break, Form, Show

# Milder than in a campaign of money, which has no other faults.
MILD = {
    **FAULTS,
    "spike_rate": 0.05,
    "fail_before_rate": 0.01,
    "fail_after_rate": 0.01,
    "drop_after_rate": 0.02,
    "webhook_late_ms": 20_000,
}
MANNERS = {
    "pays": 60, "another_card": 6, "authenticates": 8, "two_tabs": 6, "cancels": 6, "gives_up": 4,
    "last_moment": 4, "walks_away": 6,
}  # fmt: skip

# The names of threads that commit: see reach_commit in db/runtime/faults.py.
COMMITTERS = (
    "buyer", "gateway", "drain", "relay", "web", "worker", "mailer", "clock", "clock:expire_holds",
    "clock:expire_passes", "clock:number_receipts", "task:advance", "task:send_email",
    "task:number_receipts", "task:refund", "task:cancel_event",
)  # fmt: skip
POINTS = tuple(
    f"{when} {who} commits"
    for when in ("before", "after")
    for who in COMMITTERS
    if (when, who) != ("before", "relay")  # its statements commit by themselves
)

BREAKS = {
    "redis_flushed": Break(every_s=12),
    "redis_restarted": Break(every_s=40),
    "redis_stopped": Break(every_s=110, lasts_s=30),
    "redis_paused": Break(every_s=60, lasts_s=8),
    "postgres_restarted": Break(every_s=45),
    "pool_exhausted": Break(every_s=60, lasts_s=5),
    "cut before commit": Break(every_s=5),
    "cut after commit": Break(every_s=5),
    "cut before answer": Break(every_s=5),
    "mail": Break(every_s=10, lasts_s=6),
}

MINUTES = 3.0
PACE = 0.12
"""Seconds between two buyers: what a small machine manages during the faults."""


def long_form(minutes: float, bookings: int | None = None) -> Form:
    """A form in which buyers come during the first half of the time; the second half is for
    finishing what is under way, and for the checks."""
    arrive_s = minutes * 60 * 0.5
    return replace(
        LONG,
        bookings=bookings or round(arrive_s / PACE),
        arrive_s=arrive_s,
        shows=(
            Show(share=0.25, hold_seconds=60),
            Show(share=0.20, hold_seconds=15),
            Show(share=0.15, hold_seconds=20, gated=False),
            Show(share=0.15, hold_seconds=30, passes=True),
            Show(share=0.15, hold_seconds=30, free=True),
            Show(share=0.10, hold_seconds=20, cancelled=True),
        ),
        manners=MANNERS,
        wishes={"": 80, "refund": 14, "ticket": 6},
        faults=MILD,
        formation={
            "web": 1, "live": 1, "relay": 2, "clock": 2, "worker": 2, "mailer": 2, "keeper": 1,
        },
        kills={
            "worker": 5, "relay": 3, "clock": 2, "mailer": 3, "keeper": 1, "web": 2, "live": 1,
            "catcher": 1,
        },
        kill_every_s=6,
        die_every_s=2,
        freezes=1,
        freeze_s=20,
        storms=0,
        breaks=BREAKS,
        copies=True,
        points=POINTS,
        hasten=True,
        patience_s=300,
    )  # fmt: skip


SHORT = replace(
    long_form(0.3, bookings=50),
    arrive_s=6,
    shows=(
        Show(share=0.4, hold_seconds=6),
        Show(share=0.2, hold_seconds=7, gated=False),
        Show(share=0.2, hold_seconds=8, passes=True),
        Show(share=0.2, hold_seconds=8, free=True),
    ),
    faults={**MILD, "spike_ms": 300, "webhook_late_ms": 3000},
    formation={"web": 1, "relay": 1, "clock": 1, "worker": 2, "mailer": 1, "keeper": 1},
    kills={"worker": 3, "relay": 1, "mailer": 1, "keeper": 1, "clock": 1},
    kill_every_s=4,
    die_every_s=1.5,
    freezes=0,
    breaks={
        "redis_flushed": Break(every_s=2),
        "redis_stopped": Break(every_s=4.5, lasts_s=1.5),
        "postgres_restarted": Break(every_s=4.5),
        "cut before commit": Break(every_s=1),
        "cut after commit": Break(every_s=1),
        "cut before answer": Break(every_s=2),
        "mail": Break(every_s=3, lasts_s=2),
    },
    bank_s=2,
    pace=0.025,
    patience_s=60,
)

# Forms with one kind of fault that tests one guard, for ops/chaos/mutants.py.
QUIET = replace(
    SHORT,
    manners={"pays": 1},
    wishes={"": 1},
    faults={},
    kills={},
    kill_every_s=0,
    die_every_s=0,
    breaks={},
    copies=False,
    patience_s=30,
)
# Answers of any commit are cut, and the web process dies when a buyer's request has committed.
CUT_ANSWERS = replace(
    QUIET,
    arrive_s=12,
    shows=(Show(share=1, hold_seconds=15, gated=False),),
    breaks={"cut after commit": Break(every_s=0.3)},
    die_every_s=0.5,
    only_points=("after buyer commits",),
)
FLUSHES = replace(
    QUIET, kills={"worker": 1}, kill_every_s=2, breaks={"redis_flushed": Break(every_s=0.3)}
)

# Each death is between the deletion of a task and the commit of its effect. Nothing costs money, so
# all these tasks send mail: no notification of the gateway starts another one.
DEATHS = replace(
    QUIET,
    shows=(Show(share=1, hold_seconds=8, free=True),),
    die_every_s=0.4,
    only_points=("after deletion",),
)

FORMS = {
    "everything": SHORT,
    "quiet": QUIET,
    "cut_answers": CUT_ANSWERS,
    "flushes": FLUSHES,
    "deaths": DEATHS,
}
