"""The table of attacks: each says what it tries, what is measured, and the bound that must hold."""

import inspect
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ops.hostile.scene import Scene

Json = dict[str, Any]
Act = Callable[[Scene], float]


@dataclass(frozen=True)
class Attack:
    """One attack. entry: the fault that it repeats. slow: it waits more than it works, so it runs
    beside others."""

    name: str
    entry: str
    tries: str
    measure: str
    bound: float
    act: Act
    needs_nginx: bool = False
    slow: bool = False


ATTACKS: dict[str, Attack] = {}
"""By name, in the order of the files."""


def attack(
    entry: str, measure: str, bound: float, *, needs_nginx: bool = False, slow: bool = False
) -> Callable[[Act], Act]:
    """Add a function to the table. Its docstring says what the attack tries; it returns what was
    measured, which must be at most `bound`."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", " ")
        tries = " ".join((inspect.getdoc(act) or "").split())
        ATTACKS[name] = Attack(name, entry, tries, measure, bound, act, needs_nginx, slow)
        return act

    return add


@dataclass(frozen=True)
class Row:
    """What became of an attack. measured: None if it could not be carried out, for `reason`."""

    attack: str
    entry: str
    tries: str
    measure: str
    bound: float
    measured: float | None
    held: bool
    seconds: float
    reason: str = ""

    def as_json(self) -> Json:
        return asdict(self)

    def text(self) -> str:
        verdict = "held  " if self.held else "FAILED"
        found = self.reason if self.measured is None else f"{self.measured:g} of {self.bound:g}"
        return f"  {verdict} {self.entry:<12} {self.attack}: {self.measure}: {found}"


def carry_out(attack: Attack, scene: Scene) -> Row:
    """Run an attack; an error of it is a bound that was not shown to hold."""
    began, reason, measured = time.monotonic(), "", None
    try:
        measured = round(attack.act(scene), 3)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    return row_of(attack, measured, seconds, reason)


def row_of(attack: Attack, measured: float | None, seconds: float = 0, reason: str = "") -> Row:
    held = measured is not None and measured <= attack.bound
    return Row(
        attack.name, attack.entry, attack.tries, attack.measure, attack.bound, measured, held,
        seconds, reason,
    )  # fmt: skip
