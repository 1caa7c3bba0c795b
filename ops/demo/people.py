"""The buyers and what they want, drawn from a seed, so that a crowd can be repeated."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.crowd.dice import draw_weighted, mean

Json = dict[str, Any]

QUANTITIES = {1: 20, 2: 42, 3: 12, 4: 18, 5: 4, 6: 4}
MEAN_QUANTITY = mean(QUANTITIES)

# Shares of the crowd, from 0 to 1.
ACCESSIBLE = 0.02
NAMED = 0.10
FLEXIBLE = 0.15
ONE_CATEGORY = 0.6
SPLITTABLE = 0.15
LATE = 0.05
TRICKLE = 0.25

Manner = Literal["pays", "declined", "gives_up", "authenticates", "walks_away"]
MANNERS: dict[Manner, float] = {
    "pays": 0.86,
    "declined": 0.06,  # the first card; the second is good
    "gives_up": 0.02,  # after the first card was declined
    "authenticates": 0.03,  # 3-D Secure
    "walks_away": 0.03,  # from the hold, which expires
}
LEAVES_QUEUE = 0.01
ASKS_TWICE = 0.02


@dataclass(frozen=True)
class Person:
    """One buyer. `arrives_s` counts from the opening; `late` ones come when no seat is free any
    more, for what is given back and for what is kept.

    `flexible`: wants one seat, and accepts any. `named`: chooses seats on the chart before joining
    the queue or, `with_pass`, after it.
    """

    number: int
    quantity: int
    category: int | None
    together: bool
    accessible: int
    named: bool
    with_pass: bool
    manner: Manner
    leaves_queue: bool
    asks_twice: bool
    arrives_s: float
    late: bool
    dice: random.Random = field(repr=False)

    @property
    def flexible(self) -> bool:
        return self.quantity == 1 and self.category is None and not self.together


class Hall:
    """The chart, for buyers who choose seats by name."""

    def __init__(self, seats: Iterable[Json]) -> None:
        self.seats = list(seats)
        self.categories: dict[int, int] = defaultdict(int)
        rows: dict[tuple[str, str, int], list[Json]] = defaultdict(list)
        for seat in self.seats:
            self.categories[seat["category"]] += 1
            if not is_kept(seat):
                rows[seat["zone"], seat["row"], seat["category"]].append(seat)
        self.rows = [sorted(row, key=lambda seat: (seat["x"], seat["y"])) for row in rows.values()]
        self.places = [seat["guid"] for seat in self.seats if seat["accessible"]]
        self.companions = [
            seat["guid"] for seat in self.seats if seat["companion"] and not seat["accessible"]
        ]
        self.accessible = sum(seat["accessible"] for seat in self.seats)

    def choose(
        self, quantity: int, taken: set[str] | frozenset[str], dice: random.Random
    ) -> list[str] | None:
        """Choose neighbouring seats that are not in `taken`; None when none are found."""
        for row in dice.sample(self.rows, min(len(self.rows), 20)):
            free = [seat["guid"] for seat in row if seat["guid"] not in taken]
            if len(free) >= quantity:
                start = dice.randrange(len(free) - quantity + 1)
                return free[start : start + quantity]
        return None

    def wish_for_kept(self, taken: set[str] | frozenset[str]) -> Json | None:
        """The wish for a place that is kept for a wheelchair, with one for a companion if it is
        free, since those are not sold alone; None when no such place is free."""
        if taken.issuperset(self.places):
            return None
        alone = taken.issuperset(self.companions)
        return {"quantity": 1 if alone else 2, "accessible": 1, "together": False}


def is_kept(seat: Json) -> bool:
    """Whether a seat is only sold to buyers who ask for an accessible seat."""
    return bool(seat["accessible"] or seat["companion"])


def gather(count: int, seed: int, hall: Hall, trickle_s: float) -> list[Person]:
    """Draw a crowd: most come at the opening, a share of TRICKLE within `trickle_s` after it."""
    dice = random.Random(seed)
    late = max(1, round(count * LATE))
    return [draw(number, number >= count - late, dice, hall, trickle_s) for number in range(count)]


def draw(number: int, late: bool, dice: random.Random, hall: Hall, trickle_s: float) -> Person:
    kind = "flexible" if late else draw_kind(dice, hall)
    accessible = int(kind == "accessible")
    quantity = 1 if kind == "flexible" else 2 if accessible else draw_weighted(dice, QUANTITIES)
    category = None
    if kind == "any" and dice.random() < ONE_CATEGORY:
        category = draw_weighted(dice, hall.categories)
    return Person(
        number=number,
        quantity=quantity,
        category=category,
        together=kind != "flexible" and dice.random() >= SPLITTABLE,
        accessible=accessible,
        named=kind == "named",
        with_pass=kind == "named" and number % 2 == 0,
        manner="pays" if late else draw_weighted(dice, MANNERS),
        leaves_queue=not late and dice.random() < LEAVES_QUEUE,
        asks_twice=dice.random() < ASKS_TWICE,
        arrives_s=dice.uniform(0, trickle_s) if dice.random() < TRICKLE else dice.uniform(0, 0.5),
        late=late,
        dice=random.Random(dice.random()),
    )


def draw_kind(dice: random.Random, hall: Hall) -> str:
    value = dice.random()
    # Plans with many accessible seats attract buyers who need them.
    share = max(ACCESSIBLE, 3 * hall.accessible / len(hall.seats)) if hall.accessible else 0
    for kind, part in (("accessible", share), ("named", NAMED), ("flexible", FLEXIBLE)):
        if value < part:
            return kind
        value -= part
    return "any"


def demand(people: Sequence[Person]) -> int:
    """Count the seats that the whole crowd asks for."""
    return sum(person.quantity for person in people)
