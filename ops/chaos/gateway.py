"""The gateway in a campaign: its faults, and the bank that decides disputes."""

import random
from collections.abc import Mapping
from typing import Any

from ops.chaos.plan import Act
from ops.chaos.timeline import Doing
from ops.sandbox.stripe.process import Sandbox

Json = dict[str, Any]

STORM: Json = {"drop_after_rate": 0.85}


class Gateway:
    def __init__(self, sandbox: Sandbox, faults: Mapping[str, float], seed: int) -> None:
        self.sandbox = sandbox
        self.usual: Json = dict(faults)
        self.dice = random.Random(f"bank {seed}")
        self.seed = seed
        self.storms = 0

    @property
    def doings(self) -> dict[str, Doing]:
        return {"storm": self.storm, "calm": self.calm}

    def trouble(self) -> None:
        self.sandbox.faults(**self.usual, seed=self.seed)

    def storm(self, act: Act) -> Act:
        """Let the gateway do what is asked, but drop nearly all of its answers."""
        self.storms += 1
        self.sandbox.faults(**STORM)
        return Act(act.at_s + act.lasts_s, "calm")

    def calm(self, act: Act) -> None:
        self.sandbox.faults(**self.usual)

    def rest(self) -> None:
        """End the faults; delayed notifications are still delivered."""
        names = {*self.usual, *STORM}
        none: Json = {name: 0 for name in names if name.endswith("_rate")}
        self.sandbox.faults(**none)

    def decide_disputes(self) -> None:
        """Let the bank decide about half of the open disputes."""
        for dispute in self.sandbox.ledger()["disputes"]:
            if dispute["status"] == "needs_response" and self.dice.random() < 0.5:
                self.sandbox.close_dispute(dispute["id"], self.dice.choice(["won", "lost"]))

    def injected(self) -> dict[str, int]:
        """Count the faults that occurred, by kind."""
        return dict(sorted(self.sandbox.calls()["faults"].items()))

    def unfinished(self) -> dict[str, int]:
        """Count what is still open at the gateway, by kind."""
        by_status = self.sandbox.ledger(totals="1")["intents_by_status"]
        open_ones = ("requires_action", "requires_capture", "processing")
        return {
            **{f"intents {status}": by_status.get(status, 0) for status in open_ones},
            "notifications not delivered": self.sandbox.calls()["webhooks"]["pending"],
        }
