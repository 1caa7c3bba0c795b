"""How honest buyers are served while many attacks go on, beside how they are served in peace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.crowd.process import crowd
from ops.crowd.told import read_told, some
from ops.hostile.crowd import Served
from ops.hostile.mixed import Mixed
from ops.hostile.scene import Event, Scene
from ops.hostile.table import Attack, Row, row_of

Json = dict[str, Any]

AS_WITHOUT = 2.0


@dataclass(frozen=True)
class Service:
    """How a crowd was served: 99th percentiles in seconds, requests that limits refused, and what
    went wrong."""

    join_p99: float
    pay_p99: float
    limited: int
    wrong: list[str]

    def text(self) -> str:
        return f"p99 of join {self.join_p99:.3f} s, of pay {self.pay_p99:.3f} s"


def serve(scene: Scene, event: Event, buyers: int, a_second: float) -> Service:
    """Let buyers come to an event, and see how they are served."""
    results, last = scene.stack.var_dir / "honest.jsonl", {"limited": 0}
    options = ["--event", str(event.id), "--buyers", str(buyers), "--a-second", str(a_second)]
    with crowd("ops.hostile.crowd", scene.stack.web_url, results, *options) as words:
        for word in words:
            last = word
    served = read_told(results, Served)
    wrong = [f"{one.number} ended as {one.outcome}" for one in served if one.outcome != "confirmed"]
    good = [one for one in served if one.outcome == "confirmed"]
    return Service(
        p99([one.join_s for one in good]), p99([one.pay_s for one in good]), int(last["limited"]),
        list(some("honest buyers were not served", wrong)),
    )  # fmt: skip


def p99(seconds: list[float]) -> float:
    if not seconds:
        return float("inf")
    return sorted(seconds)[min(len(seconds) - 1, len(seconds) * 99 // 100)]


def compare(
    scene: Scene, buyers: int, a_second: float, say: Callable[[str], object]
) -> tuple[list[Row], Json]:
    """Serve a crowd in peace, and one while many attacks go on; the rows, and the figures."""
    seats = 2 * buyers + 440
    peace = serve(scene, scene.event(seats), buyers, a_second)
    say(f"{buyers:,} honest buyers in peace: {peace.text()}")
    attacked = scene.event(seats)
    mixed = Mixed(scene, attacked)
    with mixed.going_on():
        beside = serve(scene, attacked, buyers, a_second)
    say(f"{buyers:,} honest buyers beside attacks: {beside.text()}")
    wrong = [*peace.wrong, *beside.wrong]
    rows = [
        judge(
            "p99 of joining beside the attack, by that without", beside.join_p99 / peace.join_p99
        ),
        judge("p99 of paying beside the attack, by that without", beside.pay_p99 / peace.pay_p99),
        judge("requests of honest buyers that limits refused", peace.limited + beside.limited, 0),
        judge("honest buyers who were not served", len(wrong), 0, "; ".join(wrong)),
    ]
    figures = {
        "buyers": buyers,
        "a_second": a_second,
        "join_p99_s": {"in_peace": peace.join_p99, "attacked": beside.join_p99},
        "pay_p99_s": {"in_peace": peace.pay_p99, "attacked": beside.pay_p99},
        "steps_of_attackers": dict(sorted(mixed.done.items())),
    }
    return rows, figures


def judge(measure: str, measured: float, bound: float = AS_WITHOUT, reason: str = "") -> Row:
    tries = "Many attacks at once beside honest buyers of the same event."
    attack = Attack("all at once", "honest", tries, measure, bound, lambda _: measured)
    return row_of(attack, round(measured, 3), 0, reason)
