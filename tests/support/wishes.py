"""Wishes for seats, drawn by Hypothesis, and a model that says which of them can be met."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

Rows = dict[int, list[str]]


@dataclass(frozen=True)
class Wish:
    """What an entry asks for. category 0: any."""

    quantity: int = 1
    category: int = 0
    together: bool = True
    accessible: int = 0
    seats: tuple[int, ...] | None = None


@dataclass
class Model:
    """Free seats by number: their category and kind (`.`, `w` or `k`)."""

    free: dict[int, tuple[int, str]] = field(default_factory=dict)
    kinds: set[tuple[int, str]] = field(default_factory=set)
    """What the categories have, free or not."""

    @classmethod
    def of(cls, rows: Rows, avoid: list[int]) -> "Model":
        model, following = cls(), 1
        for category, drawings in rows.items():
            for drawing in drawings:
                for place, kind in enumerate(drawing):
                    model.kinds.add((category, "." if kind == "x" else kind))
                    if kind in ".wk" and following + place not in avoid:
                        model.free[following + place] = (category, kind)
                following += len(drawing) + 1
        return model

    def usable(self, wish: Wish, kinds: str) -> list[int]:
        return [
            seat
            for seat, (category, kind) in sorted(self.free.items())
            if kind in kinds and self.suits(wish, category, kind)
        ]

    def suits(self, wish: Wish, category: int, kind: str) -> bool:
        """A wheelchair place and what is beside it may be of another category, where the one that
        was asked for has none."""
        if wish.category in (0, category):
            return True
        return bool(wish.accessible) and (kind == "k" or (wish.category, kind) not in self.kinds)

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
            pure = wish.category and (wish.category, ".") not in self.kinds
            return self.has_accessible_block(wish) or (
                not wish.together
                and len(self.usable(wish, "w")) >= wish.accessible
                and len(self.usable(wish, ".k" if pure else ".")) >= wish.quantity - wish.accessible
            )
        if wish.together:
            return any(self.blocks(wish, wish.quantity, "."))
        return len(self.usable(wish, ".")) >= wish.quantity

    def has_accessible_block(self, wish: Wish) -> bool:
        return any(
            sum(self.free[seat][1] == "w" for seat in block) == wish.accessible
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
            assert all(self.suits(wish, *self.free[seat]) for seat in seats)
            if wish.accessible:
                assert kinds.count("w") == wish.accessible, "a companion has a wheelchair place"
            else:
                assert set(kinds) == {"."}, "kept for somebody who needs it"
            if wish.together:
                assert seats == list(range(seats[0], seats[0] + wish.quantity)), "not neighbours"
        for seat in seats:
            del self.free[seat]


row_drawings = st.text("....wkx ", min_size=1, max_size=12).filter(str.strip)


theatres = st.lists(st.lists(row_drawings, min_size=1, max_size=3), min_size=1, max_size=3).map(
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
    rows = draw(theatres)
    wishes = draw(st.lists(wishes_in(rows), min_size=1, max_size=16))
    return rows, wishes, draw(st.lists(st.integers(1, 30), max_size=3, unique=True))
