"""Idempotency keys as Stripe keeps them: https://docs.stripe.com/api/idempotent_requests"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ops.sandbox.stripe.errors import StripeError, invalid
from ops.sandbox.stripe.params import Params

KEPT_SECONDS = 24 * 3600
LONGEST_KEY = 255

Owner = tuple[str, str]  # account and key


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: a value to render, its status, expansions, and the request's id."""

    value: Any
    status: int
    request: str
    expand: frozenset[str] = frozenset()


@dataclass(slots=True)
class Entry:
    """The first request of a key; `reply` is None while it is in flight."""

    at: float
    path: str
    digest: bytes
    reply: Reply | None = None


class Keys:
    """All keys of the last 24 hours, oldest first."""

    def __init__(self) -> None:
        self._entries: dict[Owner, Entry] = {}

    def claim(self, owner: Owner, path: str, params: Params, now: float) -> Reply | None:
        """The reply to replay, or None if the caller is first and must call `keep` or `release`.

        Raises StripeError: 400 for other parameters, 409 while the first request is in flight.
        """
        self._forget_older_than(now - KEPT_SECONDS)
        if len(owner[1]) > LONGEST_KEY:
            raise invalid(f"Idempotency keys have at most {LONGEST_KEY} characters.")
        digest = fingerprint(params)
        entry = self._entries.get(owner)
        if entry is None:
            self._entries[owner] = Entry(now, path, digest)
            return None
        if (entry.path, entry.digest) != (path, digest):
            raise mismatch(owner[1], entry.path, path)
        if entry.reply is None:
            raise in_flight(owner[1])
        return entry.reply

    def keep(self, owner: Owner, reply: Reply) -> None:
        self._entries[owner].reply = reply

    def restore(self, owner: Owner, path: str, params: Params, at: float, reply: Reply) -> None:
        """Put back what was kept before a restart."""
        self._entries[owner] = Entry(at, path, fingerprint(params), reply)

    def release(self, owner: Owner) -> None:
        """Free the key, since nothing was executed."""
        del self._entries[owner]

    def _forget_older_than(self, moment: float) -> None:
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].at >= moment:
                return
            del self._entries[oldest]


def fingerprint(params: Params) -> bytes:
    text = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def mismatch(key: str, first: str, now: str) -> StripeError:
    what = "parameters" if first == now else "endpoint"
    detail = "" if first == now else f" ('{now}' vs '{first}')"
    return StripeError(
        400,
        "idempotency_error",
        f"Keys for idempotent requests can only be used with the same {what} they were first used "
        f"with{detail}. Try using a key other than '{key}' if you meant to execute a different "
        "request.",
        executed=False,
    )


def in_flight(key: str) -> StripeError:
    return StripeError(
        409,
        "idempotency_error",
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later.",
        code="idempotency_key_in_use",
        executed=False,
    )
