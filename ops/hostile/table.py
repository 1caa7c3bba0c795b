"""The table of attacks: each says what it tries, what is measured, and the bound that must hold."""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ops.hostile.scene import Scene

Json = dict[str, Any]
Found = float | Sequence[str]
"""What an attack measured, or what it found wrong, a line for each: so many are measured."""
Act = Callable[[Scene], Found]
TOLD = 5
"""Lines of what was found that a row tells."""


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
    measured, or lines of what was wrong: at most `bound`."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", " ")
        tries = " ".join((inspect.getdoc(act) or "").split())
        ATTACKS[name] = Attack(name, entry, tries, measure, bound, act, needs_nginx, slow)
        return act

    return add


@dataclass(frozen=True)
class Row:
    """What became of an attack. measured: None if it could not be carried out, for `reason`; else
    `reason` tells what was found."""

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
        found = [] if self.measured is None else [f"{self.measured:g} of {self.bound:g}"]
        found += [self.reason] if self.reason and not self.held else []
        return f"  {verdict} {self.entry:<12} {self.attack}: {self.measure}: {': '.join(found)}"


def carry_out(attack: Attack, scene: Scene) -> Row:
    """Run an attack; an error of it is a bound that was not shown to hold."""
    began, reason = time.monotonic(), ""
    measured: float | None = None
    try:
        measured, reason = measure(attack.act(scene))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    return row_of(attack, measured, seconds, reason)


def measure(found: Found) -> tuple[float, str]:
    """The measured number, and what there is to say of it."""
    if isinstance(found, int | float):
        return round(found, 3), ""
    more = [f"and {len(found) - TOLD} more"] if len(found) > TOLD else []
    return len(found), "; ".join([*found[:TOLD], *more])


def row_of(attack: Attack, measured: float | None, seconds: float = 0, reason: str = "") -> Row:
    held = measured is not None and measured <= attack.bound
    return Row(
        attack.name, attack.entry, attack.tries, attack.measure, attack.bound, measured, held,
        seconds, reason,
    )  # fmt: skip
