"""Faults between a client and the gateway, at random (seeded) or once on demand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ops.sandbox.stripe.commands import COMMANDS, READS
from ops.sandbox.stripe.errors import StripeError

# In the order in which one draw is measured against their rates.
KINDS = ("drop_before", "fail_before", "lock_timeout", "fail_after", "drop_after")
SPIKE = "spike"  # once, the request takes spike_ms more


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for one request: seconds of latency, whether they are a spike, and a fault."""

    latency: float
    kind: str | None
    spike: bool = False


@dataclass
class Settings:
    """Rates are between 0 and 1, times in milliseconds.

    drop_before: the connection breaks and nothing was done; drop_after: it breaks after the work.
    fail_before: 500 and nothing was done; fail_after: 500 after the work; both stay with the
    idempotency key. lock_timeout: 429, the object was locked. search_lag_ms: how long search misses
    new intents (Stripe: up to a minute). webhook_late_rate: of the events, come up to
    webhook_late_ms later than all others.
    """

    latency_ms: float = 0
    spike_rate: float = 0
    spike_ms: float = 2000
    drop_before_rate: float = 0
    fail_before_rate: float = 0
    lock_timeout_rate: float = 0
    fail_after_rate: float = 0
    drop_after_rate: float = 0
    search_lag_ms: float = 0
    webhook_duplicate_rate: float = 0
    webhook_reorder_rate: float = 0
    webhook_delay_ms: float = 0
    webhook_late_rate: float = 0
    webhook_late_ms: float = 120_000
    seed: int = 0


@dataclass
class Faults:
    """The current settings, the one-shot faults that wait, and the random source.

    injected: how often each kind of fault occurred.
    """

    settings: Settings = field(default_factory=Settings)
    once: list[tuple[str, str]] = field(default_factory=list)  # call's name, kind
    injected: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.settings.seed)

    def change(self, wanted: dict[str, Any]) -> None:
        """Change settings; `next` adds one-shot faults: `{"call": …, "kind": …, "times": 1}`.

        Raises ValueError with what is wrong.
        """
        shots = [shot for entry in wanted.pop("next", []) for shot in one_shots(entry)]
        known = {f.name for f in fields(Settings)}
        if unknown := set(wanted) - known:
            raise ValueError(f"No fault is named {sorted(unknown)}; there are {sorted(known)}.")
        for name, value in wanted.items():
            most = 1 if name.endswith("_rate") else float("inf")
            if not isinstance(value, int | float) or not 0 <= value <= most:
                raise ValueError(f"{name} must be a number from 0 to {most}.")
        self.settings = Settings(**{**asdict(self.settings), **wanted})
        self.once.extend(shots)
        if "seed" in wanted:
            self.chance = random.Random(self.settings.seed)

    def clear(self) -> None:
        self.settings = Settings()
        self.once.clear()
        self.injected.clear()
        self.chance = random.Random(0)

    def plan(self, call: str) -> Plan:
        """Draw for one request."""
        now = self.settings
        spike = now.spike_rate > 0 and self.chance.random() < now.spike_rate
        latency = (now.latency_ms + (now.spike_ms if spike else 0)) / 1000
        for place, (name, kind) in enumerate(self.once):
            if name == call:
                del self.once[place]
                if kind == SPIKE:
                    return Plan(latency + now.spike_ms / 1000, None, True)
                return Plan(latency, kind, spike)
        return Plan(latency, self._kind(), spike)

    def note(self, plan: Plan, seconds: float, *, took_effect: bool) -> None:
        """Count the faults of a plan that occurred in a request of `seconds`."""
        if plan.spike and seconds >= plan.latency:
            self.injected["spike"] += 1
        if plan.kind and took_effect:
            self.injected[plan.kind] += 1

    def webhook_delays(self) -> list[float]:
        """Draw for one event: the seconds after which it is sent, once or twice."""
        now, chance = self.settings, self.chance
        delay = now.webhook_delay_ms / 1000
        if now.webhook_reorder_rate and chance.random() < now.webhook_reorder_rate:
            self.injected["webhook_reordered"] += 1
            delay += chance.uniform(0.2, 1.5)
        if now.webhook_late_rate and chance.random() < now.webhook_late_rate:
            self.injected["webhook_late"] += 1
            delay += chance.uniform(0.2, 1) * now.webhook_late_ms / 1000
        delays = [delay]
        if now.webhook_duplicate_rate and chance.random() < now.webhook_duplicate_rate:
            self.injected["webhook_duplicated"] += 1
            delays.append(delay + chance.uniform(0, 0.5))
        return delays

    def _kind(self) -> str | None:
        rates = [getattr(self.settings, f"{kind}_rate") for kind in KINDS]
        if not any(rates):
            return None
        drawn = self.chance.random()
        for kind, rate in zip(KINDS, rates, strict=True):
            drawn -= rate
            if drawn < 0:
                return kind
        return None

    def shown(self) -> dict[str, Any]:
        return {
            **asdict(self.settings),
            "next": [{"call": call, "kind": kind} for call, kind in self.once],
        }


def one_shots(entry: dict[str, Any]) -> list[tuple[str, str]]:
    call, kind = entry.get("call"), entry.get("kind")
    if (call not in COMMANDS and call not in READS) or kind not in (*KINDS, SPIKE):
        raise ValueError(
            "A fault in `next` needs a call, such as 'POST /v1/payment_intents/{id}/capture', "
            "and a kind: "
            f"{', '.join((*KINDS, SPIKE))}."
        )
    return [(call, kind)] * int(entry.get("times", 1))


def broken() -> StripeError:
    return StripeError(
        500,
        "api_error",
        "Sorry! There was an error while talking to one of our backends. Support has been "
        "notified.",
    )


def locked() -> StripeError:
    return StripeError(
        429,
        "invalid_request_error",
        "This object cannot be accessed right now because another API request or Stripe process is "
        "currently accessing it. If you see this error intermittently, retry the request.",
        code="lock_timeout",
        executed=False,
    )
