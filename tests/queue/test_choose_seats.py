"""Which seats a batch gets: an obvious model of what must hold, and the finer points by drawing."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db.connections import Conn, one
from tests.support.theatre import Theatre, build_theatre
from tests.support.wishes import Model, Rows, Wish, sales, theatres

CHOOSE = """
select entry, seat, failed from choose_seats(%(event)s, %(quantity)s::integer[],
    %(category)s::integer[], %(together)s::boolean[], %(accessible)s::integer[],
    %(named_entry)s::integer[], %(named_seat)s::integer[], %(avoid)s::integer[])
"""


def choose(
    theatre: Theatre, wishes: list[Wish], avoid: list[int] | None = None
) -> list[list[int] | None]:
    """The seats of each, None where it cannot be met."""
    named = [(i, seat) for i, w in enumerate(wishes, 1) for seat in sorted(w.seats or ())]
    row = one(
        theatre.conn.execute(
            CHOOSE,
            {
                "event": theatre.event,
                "quantity": [wish.quantity for wish in wishes],
                "category": [wish.category for wish in wishes],
                "together": [wish.together for wish in wishes],
                "accessible": [wish.accessible for wish in wishes],
                "named_entry": [i for i, _ in named],
                "named_seat": [seat for _, seat in named],
                "avoid": avoid or [],
            },
        )
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


@pytest.mark.slow
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
        got = choose(build_theatre(conn, rows), wishes, avoid)
    check_all(rows, wishes, got, avoid)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example({1: ["kkk..."]}, 2, [4])  # a piece that begins with what is kept
@given(theatres, st.integers(1, 9), st.lists(st.integers(1, 30), max_size=3, unique=True))
def test_runs_that_are_read_piece_by_piece_are_all_free_seats(
    conn: Conn, rows: Rows, limit: int, avoid: list[int]
) -> None:
    """Whole runs, but for those that are longer than a piece."""
    with conn.transaction(force_rollback=True):
        pieces = read_runs(build_theatre(conn, rows), limit, avoid)
    free = [seat for seat, what in Model.of(rows, avoid).free.items() if what == (1, ".")]
    assert [seat for piece in pieces for seat in piece] == free
    for before, after in pairwise(pieces):
        assert after[0] > before[-1] + 1 or len(before) >= limit


def read_runs(theatre: Theatre, limit: int, avoid: list[int]) -> list[range]:
    """All of category 1, as choose_seats reads them."""
    runs: list[range] = []
    looked_at: int | None = 0
    while looked_at is not None:
        query = "select * from free_runs(%s, 1, %s, %s, %s::integer[])"
        rows = theatre.conn.execute(query, [theatre.event, looked_at, limit, avoid]).fetchall()
        runs += [range(row["first"], row["last"] + 1) for row in rows if row["first"]]
        looked_at = rows[0]["looked_at"]
    return runs


# The finer points, by drawing


def draw(conn: Conn, rows: list[str], wishes: list[Wish]) -> str:
    """The rows, with the seats of each wish by its place."""
    theatre = build_theatre(conn, {1: rows})
    taken = {seat: i for i, seats in enumerate(choose(theatre, wishes), 1) for seat in seats or []}
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
    theatre = build_theatre(conn, {1: [".."], 2: ["...."]})
    assert choose(theatre, [Wish(2), Wish(2)]) == [[1, 2], [4, 5]]


def test_a_group_that_may_be_split_is_split_as_little_as_possible(conn: Conn) -> None:
    assert draw(conn, ["..", "...", "."], [Wish(4, together=False)]) == ".. 111 1"


def test_no_more_accessible_places_are_taken_than_needed(conn: Conn) -> None:
    assert draw(conn, ["www.", "w.."], [Wish(2, accessible=1)]) == "ww11 w.."
    assert draw(conn, ["ww", "wk"], [Wish(2, accessible=1)]) == "ww 11"
