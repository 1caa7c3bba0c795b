"""What Python writes into a compact chart, JavaScript reads: the tests of the pages' own module,
and charts of made-up and of real plans, read by it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

from db.catalogue.chart_columns import ChartCategory, ChartSeat, encode_chart
from db.catalogue.seating import read_plan
from ops.plans.bowl import bowl
from ops.plans.theatre import PATH
from tests.support.charts import chart_of, seats_of, told

JS = Path(__file__).parents[1] / "js"
Read = Callable[[bytes], list[list[Any]]]

NODE = find_spec("playwright")
"""Whose wheel has a Node in it."""

pytestmark = [
    pytest.mark.processes,
    pytest.mark.system,
    pytest.mark.skipif(not NODE, reason="needs playwright: make test-all installs it"),
]


def node() -> str:
    assert NODE and NODE.origin
    return str(Path(NODE.origin).parent / "driver" / "node")


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    """Reads a chart by the module: [[seat, category, zone, row, label, number, x, y, flags,
    standing]]."""
    command = [node(), str(JS / "read_charts.mjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        stdin, stdout = reader.stdin, reader.stdout
        assert stdin and stdout

        def read_one(document: bytes) -> list[list[Any]]:
            stdin.write(json.dumps(json.loads(document)).encode() + b"\n")  # on one line
            stdin.flush()
            line = stdout.readline()
            assert line, "the reader has ended: see its traceback"
            found: list[list[Any]] = json.loads(line)
            return found

        yield read_one
        stdin.close()


def check(read: Read, document: bytes, seats: list[ChartSeat]) -> None:
    """All is read as it was, and each place within a unit."""
    unit = json.loads(document)["unit"]
    found = sorted(read(document))
    for one, seat in zip(found, sorted(seats), strict=True):
        assert (*one[:6], *one[8:]) == told(seat)
        assert abs(one[6] - seat.x) <= unit * 1.001
        assert abs(one[7] - seat.y) <= unit * 1.001


def test_the_module_passes_its_own_tests() -> None:
    ran = subprocess.run(
        [node(), "--test", "tests/js/chart.test.mjs"],
        cwd=JS.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "pass 5" in ran.stdout and "fail 0" in ran.stdout, ran.stdout


LETTERS = 'AZaz09 \u00e9\u1ebf\u0645\u4e2d\u2028\U0001f3ad"\\/<'


def made_up_row(draw: Random) -> list[dict[str, Any]]:
    """A row, drawn anyhow or as a line or an arc, whose printed numbers are a series or any."""

    def text() -> str:
        return "".join(draw.choices(LETTERS, k=draw.randrange(4)))

    def place() -> float:
        return draw.choice([0.0, draw.uniform(-50, 50), draw.uniform(-1_000_000, 1_000_000)])

    size, first, step = draw.randint(1, 12), draw.randrange(2000), draw.choice([1, 2, -1, -2])
    series = [str(first + i * step) for i in range(size)]
    others = [draw.choice([text(), "007", str(draw.randrange(10**11))]) for _ in range(size)]
    numbers = draw.choice([series, others, [""] * size])
    x, y, dx, dy, bend = place(), place(), *(draw.uniform(-40, 40) for _ in "xy"), draw.random()
    curve = [(x + i * dx, y + i * dy + i * i * bend) for i in range(size)]
    points = draw.choice([curve, [(place(), place()) for _ in range(size)]])
    label = {"zone": text(), "row": text(), "printed_row": text(), "standing": draw.random() < 0.2}
    return [
        label
        | {name: draw.random() < 0.2 for name in ("accessible", "companion", "restricted")}
        | {"category": draw.randint(1, 3), "number": number, "x": at[0], "y": at[1]}
        for number, at in zip(numbers, points, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_any_plan_is_read_as_it_was_written(read: Read, part: int) -> None:
    categories = [ChartCategory(n, f"Category {n}", "") for n in (1, 2, 3)]
    for seed in range(100 * part, 100 * part + 100):
        draw = Random(seed)
        following, seats = 1, list[ChartSeat]()
        for _ in range(draw.randint(1, 8)):
            row = made_up_row(draw)
            seats += [ChartSeat(seat=n, **seat) for n, seat in enumerate(row, following)]
            following += len(row) + draw.randrange(3)
        draw.shuffle(seats)
        try:
            check(read, encode_chart(9, categories, seats), seats)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize(
    "make", [pytest.param(lambda: PATH.read_bytes(), id="theatre"),
             pytest.param(bowl, id="bowl", marks=pytest.mark.slow)]
)  # fmt: skip
def test_halls_are_read_as_they_were_written(read: Read, make: Callable[[], Any]) -> None:
    plan = read_plan(make())
    check(read, chart_of(plan), seats_of(plan))
