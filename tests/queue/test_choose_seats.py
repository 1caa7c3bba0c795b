"""Which seats a batch gets: an obvious model of what must hold, and the finer points by drawing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db.connections import Conn, only
from tests.support.halls import Hall, build_hall

CHOOSE = """
select entry, seat, failed from choose_seats(%(event)s, %(quantity)s::integer[],
    %(category)s::integer[], %(together)s::boolean[], %(accessible)s::integer[],
    %(named_entry)s::integer[], %(named_seat)s::integer[], %(avoid)s::integer[])
"""
Rows = dict[int, list[str]]


@dataclass(frozen=True)
class Wish:
    """What an entry asks for. category 0: any."""

    quantity: int = 1
    category: int = 0
    together: bool = True
    accessible: int = 0
    seats: tuple[int, ...] | None = None


def choose(
    hall: Hall, wishes: list[Wish], avoid: list[int] | None = None
) -> list[list[int] | None]:
    """The seats of each, None where it cannot be met."""
    named = [(i, seat) for i, w in enumerate(wishes, 1) for seat in sorted(w.seats or ())]
    row = only(
        hall.conn.execute(
            CHOOSE,
            {
                "event": hall.event,
                "quantity": [wish.quantity for wish in wishes],
                "category": [wish.category for wish in wishes],
                "together": [wish.together for wish in wishes],
                "accessible": [wish.accessible for wish in wishes],
                "named_entry": [i for i, _ in named],
                "named_seat": [seat for _, seat in named],
                "avoid": avoid or [],
            },
        ).fetchall()
    )
    chosen: list[list[int] | None] = [[] for _ in wishes]
    for i in row["failed"]:
        chosen[i - 1] = None
    for i, seat in zip(row["entry"], row["seat"], strict=True):
        seats = chosen[i - 1]
        assert seats is not None, f"entry {i} failed, and has seat {seat}"
        seats.append(seat)
    return [sorted(seats) if seats is not None else None for seats in chosen]


# The model: what is free, and whether a wish could be met with it. Slow and obvious.


@dataclass
class Model:
    """Free seats by number: their category and kind (`.`, `w` or `k`)."""

    free: dict[int, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, avoid: list[int]) -> "Model":
        model, following = cls(), 1
        for category, drawings in rows.items():
            for drawing in drawings:
                for place, kind in enumerate(drawing):
                    if kind in ".wk" and following + place not in avoid:
                        model.free[following + place] = (category, kind)
                following += len(drawing) + 1
        return model

    def usable(self, wish: Wish, kinds: str) -> list[int]:
        return [
            seat
            for seat, (category, kind) in sorted(self.free.items())
            if kind in kinds and wish.category in (0, category)
        ]

    def blocks(self, wish: Wish, size: int, kinds: str) -> Iterator[list[int]]:
        """Neighbouring free seats, `size` of them."""
        usable = set(self.usable(wish, kinds))
        for first in sorted(usable):
            block = list(range(first, first + size))
            if usable.issuperset(block):
                yield block

    def can_meet(self, wish: Wish) -> bool:
        if wish.seats is not None:
            return self.free.keys() >= set(wish.seats)
        if wish.accessible:
            return self.has_accessible_block(wish) or (
                not wish.together
                and len(self.usable(wish, "w")) >= wish.accessible
                and len(self.usable(wish, ".")) >= wish.quantity - wish.accessible
            )
        if wish.together:
            return any(self.blocks(wish, wish.quantity, "."))
        return len(self.usable(wish, ".")) >= wish.quantity

    def has_accessible_block(self, wish: Wish) -> bool:
        return any(
            sum(self.free[seat][1] == "w" for seat in block) >= wish.accessible
            for block in self.blocks(wish, wish.quantity, ".wk")
        )

    def check(self, wish: Wish, seats: list[int]) -> None:
        """That these seats are what was asked for; they are taken then."""
        assert len(set(seats)) == len(seats) == wish.quantity
        assert self.free.keys() >= set(seats), "not free"
        kinds = [self.free[seat][1] for seat in seats]
        if wish.seats is not None:
            assert seats == sorted(wish.seats)
        else:
            assert all(wish.category in (0, self.free[seat][0]) for seat in seats)
            if wish.accessible:
                assert kinds.count("w") >= wish.accessible
            else:
                assert set(kinds) == {"."}, "kept for somebody who needs it"
            if wish.together:
                assert seats == list(range(seats[0], seats[0] + wish.quantity)), "not neighbours"
        for seat in seats:
            del self.free[seat]


def check_all(
    rows: Rows, wishes: list[Wish], got: list[list[int] | None], avoid: list[int]
) -> None:
    """Each in turn got what it asked for, or could not have it after those before it."""
    model = Model.of(rows, avoid)
    for i, (wish, seats) in enumerate(zip(wishes, got, strict=True), 1):
        if seats is None:
            assert not model.can_meet(wish), f"wish {i} of {wish} could be met"
        else:
            model.check(wish, seats)


row_drawings = st.text("....wkx ", min_size=1, max_size=12).filter(str.strip)
halls = st.lists(st.lists(row_drawings, min_size=1, max_size=3), min_size=1, max_size=3).map(
    lambda categories: dict(enumerate(categories, 1))
)


@st.composite
def wishes_in(draw: st.DrawFn, rows: Rows) -> Wish:
    last = sum(len(drawing) + 1 for drawings in rows.values() for drawing in drawings)
    there = [seat for seat in range(1, last) if Model.of(rows, []).free.get(seat)]
    if there and draw(st.integers(0, 3)) == 0:
        seats = draw(st.lists(st.sampled_from(there), min_size=1, max_size=4, unique=True))
        return Wish(len(seats), 0, seats=tuple(seats))
    quantity = draw(st.integers(1, 5))
    accessible = draw(st.sampled_from([0, 0, 0, 1, 2]))
    return Wish(
        quantity,
        draw(st.integers(0, len(rows))),
        draw(st.booleans()),
        min(accessible, quantity),
    )


@st.composite
def sales(draw: st.DrawFn) -> tuple[Rows, list[Wish], list[int]]:
    rows = draw(halls)
    wishes = draw(st.lists(wishes_in(rows), min_size=1, max_size=16))
    return rows, wishes, draw(st.lists(st.integers(1, 30), max_size=3, unique=True))


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(({1: ["......"]}, [Wish(1), Wish(2), Wish(2), Wish(1)], []))
@example(({1: ["..x.."]}, [Wish(4, together=False)], []))
@example(({1: [".wk."], 2: ["..."]}, [Wish(3, accessible=1), Wish(3), Wish(1, 2)], []))
@given(sales())
def test_each_gets_what_it_asks_for_unless_lower_numbers_took_it(
    conn: Conn, sale: tuple[Rows, list[Wish], list[int]]
) -> None:
    rows, wishes, avoid = sale
    with conn.transaction(force_rollback=True):
        got = choose(build_hall(conn, rows), wishes, avoid)
    check_all(rows, wishes, got, avoid)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(halls, st.integers(1, 9), st.lists(st.integers(1, 30), max_size=3, unique=True))
def test_runs_that_are_read_piece_by_piece_are_all_free_seats(
    conn: Conn, rows: Rows, limit: int, avoid: list[int]
) -> None:
    """Whole runs, but for those that are longer than a piece."""
    with conn.transaction(force_rollback=True):
        pieces = read_runs(build_hall(conn, rows), limit, avoid)
    free = [seat for seat, what in Model.of(rows, avoid).free.items() if what == (1, ".")]
    assert [seat for piece in pieces for seat in piece] == free
    for before, after in pairwise(pieces):
        assert after[0] > before[-1] + 1 or len(before) >= limit


def read_runs(hall: Hall, limit: int, avoid: list[int]) -> list[range]:
    """All of category 1, as choose_seats reads them."""
    runs: list[range] = []
    looked_at: int | None = 0
    while looked_at is not None:
        query = "select * from free_runs(%s, 1, %s, %s, %s::integer[])"
        rows = hall.conn.execute(query, [hall.event, looked_at, limit, avoid]).fetchall()
        runs += [range(row["first"], row["last"] + 1) for row in rows if row["first"]]
        looked_at = rows[0]["looked_at"]
    return runs


# The finer points, by drawing


def draw(conn: Conn, rows: list[str], wishes: list[Wish]) -> str:
    """The rows, with the seats of each wish by its place."""
    hall = build_hall(conn, {1: rows})
    taken = {seat: i for i, seats in enumerate(choose(hall, wishes), 1) for seat in seats or []}
    seats = iter(sorted(Model.of({1: rows}, []).free))
    return " ".join(
        "".join(str(taken.get(next(seats), kind)) if kind in ".wk" else kind for kind in row)
        for row in rows
    )


@pytest.mark.parametrize(
    ("rows", "quantities", "drawn"),
    [
        (["......"], [2], "..11.."),  # the middle of the row
        (["......."], [3], "..111.."),
        (["....."], [2], "...11"),  # in the middle, a single seat would be left
        (["....."], [1], "..1.."),
        (["........"], [2, 2, 2, 2], "22113344"),  # pairs leave room for pairs
        (["...."], [1], "1..."),
        (["....", "...."], [2, 2, 2], "1122 33.."),  # the better row first
        (["...", "...."], [2], "... 11.."),  # rather a worse row than a single seat left
        (["...", ".."], [2], "... 11"),
        (["..."], [2], ".11"),  # unavoidable
        ([".", "..."], [1, 1], "1 2.."),
    ],
)
def test_where_a_group_sits(conn: Conn, rows: list[str], quantities: list[int], drawn: str) -> None:
    assert draw(conn, rows, [Wish(quantity) for quantity in quantities]) == drawn


def test_the_best_category_first_for_who_takes_any(conn: Conn) -> None:
    hall = build_hall(conn, {1: [".."], 2: ["...."]})
    assert choose(hall, [Wish(2), Wish(2)]) == [[1, 2], [4, 5]]


def test_a_group_that_may_be_split_is_split_as_little_as_possible(conn: Conn) -> None:
    assert draw(conn, ["..", "...", "."], [Wish(4, together=False)]) == ".. 111 1"


def test_no_more_accessible_places_are_taken_than_needed(conn: Conn) -> None:
    assert draw(conn, ["www.", "w.."], [Wish(2, accessible=1)]) == "ww11 w.."
    assert draw(conn, ["ww", "wk"], [Wish(2, accessible=1)]) == "ww 11"
