"""Kills processes, at random and where they were told to die, and lets some stand still."""

import signal
from collections import Counter
from pathlib import Path

from ops.chaos.plan import Act
from ops.chaos.timeline import Doing
from ops.local.supervisor import Supervisor


class Killer:
    """killed: how often each kind of process was, by signal. died: by the point they had reached.

    `orders` is the folder that DIE_AT names.
    """

    def __init__(self, supervisor: Supervisor, orders: Path) -> None:
        self.supervisor, self.orders = supervisor, orders
        self.killed: Counter[str] = Counter()
        self.died: Counter[str] = Counter()
        self.frozen: set[str] = set()

    @property
    def doings(self) -> dict[str, Doing]:
        return {"kill": self.kill, "die": self.order, "freeze": self.freeze, "thaw": self.thaw}

    def kill(self, act: Act) -> None:
        if self.supervisor.pids(act.whom):
            self._expect_death(act.whom)
            self.supervisor.kill(act.whom)
            self.killed[act.whom.partition(".")[0]] += 1

    def order(self, act: Act) -> None:
        """Whoever reaches the point next dies there."""
        self.died[act.whom] += not (self.orders / act.whom).exists()
        for name in self.supervisor.processes:
            self._expect_death(name)
        (self.orders / act.whom).touch()

    def _expect_death(self, name: str) -> None:
        """It is started again at once, as if it had lived for long."""
        for process in self.supervisor.select(name):
            process.started_at = 0

    def freeze(self, act: Act) -> Act:
        self.frozen.add(act.whom)
        self.supervisor.kill(act.whom, signal.SIGSTOP)
        return Act(act.at_s + act.lasts_s, "thaw", act.whom)

    def thaw(self, act: Act) -> None:
        self.frozen.discard(act.whom)
        self.supervisor.kill(act.whom, signal.SIGCONT)

    def rest(self) -> None:
        """No more deaths: orders that nobody came to follow are taken back."""
        for name in list(self.frozen):
            self.thaw(Act(0, "thaw", name))
        for order in self.orders.iterdir():
            order.unlink(missing_ok=True)
            self.died[order.name] -= 1
        self.died = +self.died

    def deaths(self) -> int:
        """How often processes were started again."""
        return sum(process.starts - 1 for process in self.supervisor.processes.values())

    def unexplained(self) -> int:
        """Of the deaths, those that nobody ordered."""
        return max(0, self.deaths() - self.killed.total() - self.died.total())
