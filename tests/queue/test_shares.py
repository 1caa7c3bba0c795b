"""Lanes share by weight, while entries come and go: made up by Hypothesis."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db.connections import Conn
from tests.support.histories import bounded
from tests.support.theatre import build_theatre, serve_next

pytestmark = pytest.mark.slow


@dataclass
class Shares:
    """How much lanes were served, beyond each other, while both of a pair had people waiting.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996): over any such time the seats that two
    lanes got, each divided by its weight, differ by no more than one batch of each, so divided.
    """

    weights: dict[int, int]
    batch: int
    ahead: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    def served(self, lane: int, seats: int, waiting: set[int]) -> None:
        """waiting: the lanes that had somebody waiting before."""
        assert lane in waiting
        for one, other in combinations(sorted(self.weights), 2):
            if not waiting >= {one, other}:
                self.ahead[one, other] = [0]
                continue
            ahead = self.ahead.setdefault((one, other), [0])
            sign = {one: 1, other: -1}.get(lane, 0)
            ahead.append(ahead[-1] + sign * seats / self.weights[lane])
            bound = self.batch / self.weights[one] + self.batch / self.weights[other]
            assert max(ahead) - min(ahead) <= bound + 1e-6, (
                f"lanes {one} and {other}: {self.weights}, {ahead}"
            )


comings = st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 4, 15]))
"""Who comes to which lane, before a batch."""


def check_shares(conn: Conn, weights: list[int], batch: int, come: list[tuple[int, int]]) -> None:
    """Serve batches until nobody waits; before each of the first, some come."""
    theatres = [build_theatre(conn, {1: ["." * 60]}, prices={1: 0}) for _ in weights]
    shares = Shares({h.event: w for h, w in zip(theatres, weights, strict=True)}, batch)
    waiting: Counter[int] = Counter()
    for theatre, weight in zip(theatres, weights, strict=True):
        theatre.set_lane(weight=weight)
    for pick, people in come + [(0, 0)] * 1000:
        theatre = theatres[pick % len(theatres)]
        people = min(people, 60 - len(theatre.entries())) if people else 0
        for _ in range(people):
            theatre.enter()
        waiting[theatre.event] += people
        if not +waiting:
            continue
        lane = serve_next(conn, batch)
        assert lane is not None
        seats = min(batch, waiting[lane])
        shares.served(lane, seats, set(+waiting))
        waiting[lane] -= seats
    assert not +waiting


@bounded(examples=15, steps=1)
@given(
    st.lists(st.sampled_from([1, 2, 3, 7]), min_size=2, max_size=4),
    st.sampled_from([1, 2, 5]),
    st.lists(st.integers(1, 20), min_size=4, max_size=4),
)
def test_busy_lanes_share_by_weight(
    conn: Conn, weights: list[int], batch: int, crowds: list[int]
) -> None:
    with conn.transaction(force_rollback=True):
        check_shares(conn, weights, batch, list(enumerate(crowds)))


@bounded(examples=15, steps=1)
@example([1, 1], 1, [(0, 1), (1, 15), (1, 0), (1, 0), (1, 0), (0, 15)])
@given(
    st.lists(st.sampled_from([1, 2, 3, 7]), min_size=2, max_size=4),
    st.sampled_from([1, 2, 5]),
    st.lists(comings, max_size=40),
)
def test_lanes_share_by_weight_while_people_come_and_go(
    conn: Conn, weights: list[int], batch: int, come: list[tuple[int, int]]
) -> None:
    with conn.transaction(force_rollback=True):
        check_shares(conn, weights, batch, come)
