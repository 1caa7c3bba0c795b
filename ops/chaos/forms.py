"""The forms of a campaign of money."""

from dataclasses import replace

from ops.chaos.plan import Form, Show

# Stripe's rate limits, which the sandbox enforces in every form.
LIMITS = {"account_rate": 100, "endpoint_rate": 25}

MANNERS = {
    "pays": 32,
    "another_card": 8,
    "declined": 3,
    "authenticates": 8,
    "authenticates_late": 6,
    "denies": 3,
    "abandons": 4,
    "two_tabs": 9,
    "cancels": 9,
    "gives_up": 2,
    "last_moment": 7,
    "walks_away": 3,
    "disputes": 3,
    "slow_refund": 2,
    "failing_refund": 1,
}
WISHES = {"": 76, "refund": 12, "ticket": 6, "amount": 6}
FAULTS = {
    "spike_rate": 0.2,
    "spike_ms": 2000,
    "fail_before_rate": 0.025,
    "fail_after_rate": 0.025,
    "drop_before_rate": 0.01,
    "drop_after_rate": 0.05,
    "lock_timeout_rate": 0.01,
    "webhook_duplicate_rate": 0.2,
    "webhook_reorder_rate": 0.3,
    "webhook_late_rate": 0.1,
    "webhook_late_ms": 150_000,
}
SHOWS = (
    Show(share=0.30, hold_seconds=60),
    Show(share=0.25, hold_seconds=8),
    Show(share=0.15, hold_seconds=12),
    Show(share=0.12, hold_seconds=8, gated=False),
    Show(share=0.08, hold_seconds=30, currency="JPY"),
    Show(share=0.10, hold_seconds=20, cancelled=True),
)

LONG = Form(
    bookings=2240,
    arrive_s=180,
    shows=SHOWS,
    manners=MANNERS,
    wishes=WISHES,
    faults=FAULTS,
    formation={"web": 1, "relay": 2, "clock": 2, "worker": 3, "mailer": 1, "keeper": 1},
    kills={"worker": 6, "relay": 2, "clock": 2, "mailer": 1, "keeper": 1, "web": 2},
    kill_every_s=5,
    die_every_s=5,
    freezes=2,
    freeze_s=40,  # longer than a lease
    storms=1,
    pace=0.25,
    patience_s=300,
)

SHORT = replace(
    LONG,
    bookings=120,
    shows=(
        Show(share=0.50, hold_seconds=5),
        Show(share=0.15, hold_seconds=7),
        Show(share=0.15, hold_seconds=6, gated=False),
        Show(share=0.10, hold_seconds=6, currency="JPY"),
        Show(share=0.10, hold_seconds=10, cancelled=True),
    ),
    arrive_s=9,
    faults={**FAULTS, "spike_ms": 600, "webhook_late_ms": 6000},
    formation={"web": 1, "relay": 1, "clock": 1, "worker": 2, "mailer": 1, "keeper": 1},
    kill_every_s=3,
    die_every_s=1.5,
    freezes=1,
    freeze_s=4,
    storms=0,
    bank_s=2,
    pace=0.025,
    hasten=True,
    patience_s=60,
)

# Short forms with one kind of fault that tests one guard, for ops/chaos/mutants.py.
CALM = replace(
    SHORT,
    bookings=60,
    arrive_s=5,
    shows=(Show(share=1, hold_seconds=20),),
    wishes={"": 1},
    faults={},
    kills={},
    kill_every_s=0,
    die_every_s=0,
    freezes=0,
    patience_s=20,
)
LOST_REPLIES = replace(
    CALM,
    manners={"pays": 1},
    wishes={"": 1, "refund": 1, "amount": 1},
    faults={"drop_after_rate": 0.25},
)
TWO_TABS = replace(CALM, manners={"two_tabs": 1}, faults={"latency_ms": 200})
LAST_MOMENT = replace(
    CALM, shows=(Show(share=1, hold_seconds=5),), manners={"last_moment": 3, "pays": 1}
)
# A worker is frozen with a dispute that it has read; the bank decides, and others record it.
FROZEN_DISPUTES = replace(
    CALM,
    bookings=120,
    arrive_s=56,
    manners={"disputes": 1},
    faults={"latency_ms": 400},
    formation={**CALM.formation, "worker": 3},
    freezes=6,
    freeze_s=6,
    freeze_at="after dispute is read",
    pace=0.02,
    bank_s=1,
)
# Each worker is frozen once, for so long that other workers finish its payments meanwhile.
FROZEN_PAYMENTS = replace(
    FROZEN_DISPUTES,
    bookings=120,
    arrive_s=20,
    manners={"pays": 1},
    shows=(Show(share=1, hold_seconds=30),),
    formation={**CALM.formation, "worker": 4},
    faults={"latency_ms": 800},
    freezes=4,
    freeze_s=10,
    freeze_at="",
    bank_s=2,
)
# No hold ends, so nothing but its task ends a booking that was cancelled while it was being paid.
CHANGES_OF_MIND = replace(
    CALM,
    bookings=120,
    arrive_s=10,
    shows=(Show(share=1, hold_seconds=600),),
    manners={"cancels": 3, "authenticates": 1},
    faults={"latency_ms": 600},
)

FORMS = {
    "long": LONG,
    "short": SHORT,
    "lost_replies": LOST_REPLIES,
    "two_tabs": TWO_TABS,
    "last_moment": LAST_MOMENT,
    "frozen_payments": FROZEN_PAYMENTS,
    "frozen_disputes": FROZEN_DISPUTES,
    "changes_of_mind": CHANGES_OF_MIND,
}
