"""The plan of a campaign, drawn from its seed: when buyers come, how they pay, what fails when.

The same form and seed give the same plan. Outcomes still differ from run to run, because of the
races that the plan provokes.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice

from ops.crowd.dice import draw_weighted, mean
from ops.local.supervisor import ROOT

QUANTITIES = {1: 30, 2: 45, 3: 15, 4: 10}
MEAN_QUANTITY = mean(QUANTITIES)
LONGEST_THOUGHT_S = 2.0
LASTS = 1.5


@dataclass(frozen=True)
class Show:
    """An event of the campaign. share: its share of all buyers. cancelled: the organiser cancels it
    half-way. free: all seats cost nothing. passes: its queue gives passes for direct bookings."""

    share: float
    hold_seconds: int
    gated: bool = True
    currency: str = "EUR"
    cancelled: bool = False
    free: bool = False
    passes: bool = False


@dataclass(frozen=True)
class Break:
    """A fault: seconds between two of its starts on average, and seconds that it lasts."""

    every_s: float
    lasts_s: float = 0


@dataclass(frozen=True)
class Form:
    """The parameters of a campaign. Times are in seconds; weights need not add up to 1.

    arrive_s: time over which buyers come. manners: how they pay (ops/chaos/buyer.py), by weight.
    wishes: what happens to a paid booking, by weight. faults: the sandbox's settings. kills:
    processes that are killed every kill_every_s, by weight. die_every_s: between deaths at crash
    points (db/runtime/faults.py). freezes: how often a worker is stopped for freeze_s;
    freeze_at: at this crash point, whenever one reaches it. storms: how
    often the gateway acts but drops nearly all answers. breaks: other faults by name
    (ops/chaos/servers.py, mail.py). points: additional crash points. only_points: no others than
    these. copies: deliver every message again, at once and late. bank_s: between two decisions of
    the bank on disputes. pace: see TASK_PACE. hasten: after the faults, move deadlines of holds and
    of calls under way forward.
    patience_s: the longest wait until nothing is under way.
    """

    bookings: int
    arrive_s: float
    shows: tuple[Show, ...]
    manners: Mapping[str, float]
    wishes: Mapping[str, float]
    faults: Mapping[str, float]
    formation: Mapping[str, int]
    kills: Mapping[str, float] = field(default_factory=dict)
    kill_every_s: float = 0
    die_every_s: float = 0
    freezes: int = 0
    freeze_s: float = 0
    freeze_at: str = ""
    storms: int = 0
    storm_s: float = 6
    breaks: Mapping[str, Break] = field(default_factory=dict)
    points: tuple[str, ...] = ()
    only_points: tuple[str, ...] = ()
    copies: bool = False
    bank_s: float = 5
    pace: float = 1
    hasten: bool = False
    patience_s: float = 300


@dataclass(frozen=True)
class Person:
    """One buyer: comes at arrives_s, waits thinks_s before paying. dice: a seed for the rest."""

    number: int
    arrives_s: float
    show: int
    quantity: int
    manner: str
    wish: str
    thinks_s: float
    dice: float


@dataclass(frozen=True)
class Act:
    """One fault: what, to which process, at_s seconds after the start, and how long it lasts."""

    at_s: float
    what: str
    whom: str = ""
    lasts_s: float = 0


def draw_people(form: Form, seed: int) -> list[Person]:
    dice = random.Random(f"people {seed}")
    people = [draw_person(number, form, dice) for number in range(form.bookings)]
    return sorted(people, key=lambda person: person.arrives_s)


def draw_person(number: int, form: Form, dice: random.Random) -> Person:
    show = draw_weighted(dice, {n: one.share for n, one in enumerate(form.shows)})
    # All buyers of a cancelled event come before its cancellation.
    latest = form.arrive_s * (0.5 if form.shows[show].cancelled else 1)
    return Person(
        number=number,
        arrives_s=dice.uniform(0, latest),
        show=show,
        quantity=draw_weighted(dice, QUANTITIES),
        manner=draw_weighted(dice, form.manners),
        wish=draw_weighted(dice, form.wishes),
        thinks_s=min(dice.expovariate(2), LONGEST_THOUGHT_S),
        dice=dice.random(),
    )


def draw_acts(form: Form, seed: int) -> list[Act]:
    """Draw all faults. Deaths go on after the last buyers came, while some still pay."""
    dice = random.Random(f"acts {seed}")
    acts = [*draw_kills(form, dice), *draw_deaths(form, dice), *draw_freezes(form, dice)]
    acts += draw_breaks(form, dice)
    acts += [
        Act(dice.uniform(0.2, 0.8) * form.arrive_s, "storm", lasts_s=form.storm_s)
        for _ in range(form.storms)
    ]
    acts += [
        Act(form.arrive_s * 0.55, "cancel", str(number))
        for number, show in enumerate(form.shows)
        if show.cancelled
    ]
    return sorted(acts, key=lambda act: act.at_s)


def draw_kills(form: Form, dice: random.Random) -> Iterator[Act]:
    for at_s in moments(LASTS * form.arrive_s, form.kill_every_s, dice):
        kind = draw_weighted(dice, form.kills)
        yield Act(at_s, "kill", f"{kind}.{dice.randint(1, form.formation.get(kind, 1))}")


def draw_deaths(form: Form, dice: random.Random) -> Iterator[Act]:
    """Draw each crash point once, in random order, then all again while time is left."""
    points = [*(form.only_points or (*named_points(), *form.points))]
    dice.shuffle(points)
    for at_s, point in zip(moments(LASTS * form.arrive_s, form.die_every_s, dice), cycle(points)):
        yield Act(at_s, "die", point)


def draw_freezes(form: Form, dice: random.Random) -> Iterator[Act]:
    if form.freeze_at:  # one after another: others finish what the frozen one has begun
        for n in range(form.freezes):
            at_s = (0.1 + 0.8 * n / form.freezes) * form.arrive_s
            yield Act(at_s, "freeze at", form.freeze_at, form.freeze_s)
        return
    workers = islice(cycle(range(1, form.formation["worker"] + 1)), form.freezes)
    for number in workers:
        at_s = dice.uniform(0.1, 0.8) * form.arrive_s
        yield Act(at_s, "freeze", f"worker.{number}", form.freeze_s)


def draw_breaks(form: Form, dice: random.Random) -> Iterator[Act]:
    for what, broken in form.breaks.items():
        for at_s in moments(form.arrive_s, broken.every_s, dice):
            yield Act(at_s, what, lasts_s=broken.lasts_s)


def moments(end: float, every: float, dice: random.Random) -> Iterator[float]:
    """Random moments, `every` seconds apart on average; none if it is 0."""
    at = dice.uniform(0.5, 1) * every
    while every and at < end:
        yield at
        at += dice.uniform(0.5, 1.5) * every


def named_points() -> list[str]:
    """All crash points that the code names."""
    texts = (path.read_text() for path in sorted((ROOT / "tasks").rglob("*.py")))
    return sorted({point for text in texts for point in find_points(text)})


def find_points(text: str) -> Iterable[str]:
    return re.findall(r'\breach\("([^"]+)"\)', text)


def seats_for(form: Form, show: Show) -> int:
    """The number of seats that is enough for all buyers of a show."""
    total = sum(each.share for each in form.shows)
    return round(form.bookings * show.share / total * MEAN_QUANTITY * 1.5) + 100
