"""Rate limits by token bucket, per account and per endpoint: https://docs.stripe.com/rate-limits"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ops.sandbox.stripe.errors import StripeError

LIVE_ACCOUNT_RATE = 100.0  # requests a second that Stripe grants an account in live mode
ENDPOINT_RATE = 25.0  # and each endpoint within it


@dataclass(slots=True)
class Bucket:
    """Holds at most one second's worth of requests."""

    tokens: float
    at: float

    def refill(self, rate: float, now: float) -> bool:
        """Whether a request may pass."""
        self.tokens = min(max(rate, 1.0), self.tokens + (now - self.at) * rate)
        self.at = now
        return self.tokens >= 1


@dataclass
class Limits:
    """Requests a second; 0 switches a limit off."""

    account_rate: float = LIVE_ACCOUNT_RATE
    endpoint_rate: float = ENDPOINT_RATE
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def take(self, account: str, endpoint: str, now: float) -> None:
        """Let one request pass, or raise Stripe's 429. A refused request costs nothing."""
        wanted = (
            ("global-rate", "", self.account_rate),
            ("endpoint-rate", endpoint, self.endpoint_rate),
        )
        passing = []
        for reason, scope, rate in wanted:
            if rate <= 0:
                continue
            bucket = self._bucket(account, scope, rate, now)
            if not bucket.refill(rate, now):
                raise limited(reason)
            passing.append(bucket)
        for bucket in passing:
            bucket.tokens -= 1

    def _bucket(self, account: str, scope: str, rate: float, now: float) -> Bucket:
        found = self._buckets.get((account, scope))
        if found is None:
            found = self._buckets[account, scope] = Bucket(max(rate, 1.0), now)
        return found

    def change(self, wanted: dict[str, Any]) -> None:
        """New rates apply at once, with full buckets. Raises ValueError with what is wrong."""
        if set(wanted) - {"account_rate", "endpoint_rate"}:
            raise ValueError("There are two limits: account_rate and endpoint_rate.")
        for name, rate in wanted.items():
            if not isinstance(rate, int | float) or rate < 0:
                raise ValueError(f"{name} must be a number of requests a second; 0: no limit.")
            setattr(self, name, rate)
        self._buckets.clear()


def limited(reason: str) -> StripeError:
    return StripeError(
        429,
        "invalid_request_error",
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        executed=False,
        headers={"Stripe-Rate-Limited-Reason": reason},
    )
