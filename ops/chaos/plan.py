"""What a campaign does, drawn from its seed: who comes when and pays how, and what breaks when.

The same form and seed give the same plan. What comes of it differs from run to run, as the races
that it provokes go one way or the other.
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
    """An event of the campaign. share: of all buyers; cancelled: by its organiser, half-way. free:
    nothing costs anything. passes: its queue gives passes, with which seats are booked directly."""

    share: float
    hold_seconds: int
    gated: bool = True
    currency: str = "EUR"
    cancelled: bool = False
    free: bool = False
    passes: bool = False


@dataclass(frozen=True)
class Break:
    """Something that breaks about every so often, and for how long. Seconds."""

    every_s: float
    lasts_s: float = 0


@dataclass(frozen=True)
class Form:
    """How a campaign is made up. Times in seconds; weights need not add up to anything.

    arrive_s: over which buyers come. manners: how they pay (ops/chaos/buyer.py), by weight. wishes:
    what they, or the organiser, want of a booking that is paid. faults: the sandbox's settings.
    kills: which processes are killed, by weight, every kill_every_s. die_every_s: between deaths at
    the named points of db/runtime/faults.py. freezes: so many times a worker stands still for
    freeze_s. storms: so many times the gateway does what it is asked, and hardly ever answers.
    breaks: what else does, by name (ops/chaos/servers.py, mail.py). points: more of them to die
    at. copies: every message is delivered again, at once and late. bank_s: between a bank's looks
    at its disputes. pace: see TASK_PACE. hasten: when the faults are over, the clocks of holds and
    of requests on their way are turned forward. patience_s: until everything has come to an end.
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
    storms: int = 0
    storm_s: float = 6
    breaks: Mapping[str, Break] = field(default_factory=dict)
    points: tuple[str, ...] = ()
    copies: bool = False
    bank_s: float = 5
    pace: float = 1
    hasten: bool = False
    patience_s: float = 300


@dataclass(frozen=True)
class Person:
    """One buyer: comes at arrives_s, thinks for thinks_s before paying. dice: seeds the rest."""

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
    """Something breaks: what, whom, at_s seconds after the first buyers came, and for how long."""

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
    # Nobody comes for what is cancelled: all are there before.
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
    """Deaths go on for longer than buyers come, if buyers are still paying then."""
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
    """Each point once, in any order, and again, as often as there is time."""
    points = [*named_points(), *form.points]
    dice.shuffle(points)
    for at_s, point in zip(moments(LASTS * form.arrive_s, form.die_every_s, dice), cycle(points)):
        yield Act(at_s, "die", point)


def draw_freezes(form: Form, dice: random.Random) -> Iterator[Act]:
    workers = islice(cycle(range(1, form.formation["worker"] + 1)), form.freezes)
    for number in workers:
        at_s = dice.uniform(0.1, 0.8) * form.arrive_s
        yield Act(at_s, "freeze", f"worker.{number}", form.freeze_s)


def draw_breaks(form: Form, dice: random.Random) -> Iterator[Act]:
    for what, broken in form.breaks.items():
        for at_s in moments(form.arrive_s, broken.every_s, dice):
            yield Act(at_s, what, lasts_s=broken.lasts_s)


def moments(end: float, every: float, dice: random.Random) -> Iterator[float]:
    """About every so often; never if `every` is 0."""
    at = dice.uniform(0.5, 1) * every
    while every and at < end:
        yield at
        at += dice.uniform(0.5, 1.5) * every


def named_points() -> list[str]:
    """Where a process can be told to die: all that the code names."""
    texts = (path.read_text() for path in sorted((ROOT / "tasks").rglob("*.py")))
    return sorted({point for text in texts for point in find_points(text)})


def find_points(text: str) -> Iterable[str]:
    return re.findall(r'\breach\("([^"]+)"\)', text)


def seats_for(form: Form, show: Show) -> int:
    """Enough that nobody is turned away, whoever comes."""
    total = sum(each.share for each in form.shows)
    return round(form.bookings * show.share / total * MEAN_QUANTITY * 1.5) + 100
