"""Kill processes, at random and at crash points, and freeze workers."""

import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

from db.runtime.faults import STOP
from ops.chaos.plan import Act
from ops.chaos.timeline import Doing
from ops.local.supervisor import Supervisor

LOOK_S = 0.2


class Killer:
    """killed: number of kills by kind of process. died: number of deaths by crash point.

    `orders` is the folder that DIE_AT names.
    """

    def __init__(self, supervisor: Supervisor, orders: Path) -> None:
        self.supervisor, self.orders = supervisor, orders
        self.killed: Counter[str] = Counter()
        self.died: Counter[str] = Counter()
        self.frozen: set[str] = set()

    @property
    def doings(self) -> dict[str, Doing]:
        return {
            "kill": self.kill,
            "die": self.order,
            "freeze": self.freeze,
            "freeze at": self.freeze_at,
            "freezing": self.wait_for_frozen,
            "thaw": self.thaw,
        }

    def kill(self, act: Act) -> None:
        if self.supervisor.pids(act.whom):
            self._expect_death(act.whom)
            self.supervisor.kill(act.whom)
            self.killed[act.whom.partition(".")[0]] += 1

    def order(self, act: Act) -> None:
        """Order the next process that reaches the crash point to die there."""
        self.died[act.whom] += not (self.orders / act.whom).exists()
        for name in self.supervisor.processes:
            self._expect_death(name)
        (self.orders / act.whom).touch()

    def _expect_death(self, name: str) -> None:
        """Let the supervisor start the process again at once, without its pause."""
        for process in self.supervisor.select(name):
            process.started_at = 0

    def freeze(self, act: Act) -> Act:
        self.frozen.add(act.whom)
        self.supervisor.kill(act.whom, signal.SIGSTOP)
        return Act(act.at_s + act.lasts_s, "thaw", act.whom)

    def freeze_at(self, act: Act) -> Act:
        """Order the next worker that reaches the crash point to stop there."""
        self.frozen.add("worker")
        (self.orders / act.whom).write_text(STOP)
        return replace(act, what="freezing")

    def wait_for_frozen(self, act: Act) -> Act:
        """Let it go on `lasts_s` after it has stopped."""
        if (self.orders / act.whom).exists():
            return replace(act, at_s=act.at_s + LOOK_S)
        return Act(act.at_s + act.lasts_s, "thaw", "worker")

    def thaw(self, act: Act) -> None:
        self.frozen.discard(act.whom)
        self.supervisor.kill(act.whom, signal.SIGCONT)

    def rest(self) -> None:
        """End the deaths: withdraw the orders that no process has followed."""
        for name in list(self.frozen):
            self.thaw(Act(0, "thaw", name))
        for order in self.orders.iterdir():
            order.unlink(missing_ok=True)
            self.died[order.name] -= 1
        self.died = +self.died

    def deaths(self) -> int:
        """Count how often processes were started again."""
        return sum(process.starts - 1 for process in self.supervisor.processes.values())

    def unexplained(self) -> int:
        """Count the deaths that were not ordered."""
        return max(0, self.deaths() - self.killed.total() - self.died.total())
