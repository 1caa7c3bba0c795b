"""The accounts that the sandbox plays. Each has its own objects, faults and endpoints.

One is the platform's: every key that is not another account's is its key. Others are added by the
admin side (`POST /_sandbox/accounts`), with keys of their own or connected to the platform, whose
key then reaches them with the header Stripe-Account.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.sandbox.stripe.account import PLATFORM
from ops.sandbox.stripe.engine import Engine
from ops.sandbox.stripe.errors import StripeError
from ops.sandbox.stripe.faults import Faults
from ops.sandbox.stripe.webhooks import Courier


@dataclass(frozen=True)
class Hosted:
    """An account, and what belongs to it."""

    engine: Engine
    courier: Courier
    faults: Faults

    @property
    def id(self) -> str:
        return self.engine.account.id


Host = Callable[[str], Hosted]


@dataclass
class Hosting:
    """All accounts. make: begins one with an id, or goes on with what was kept of it."""

    make: Host
    folder: Path | None
    platform: Hosted = field(init=False)
    others: dict[str, Hosted] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.platform = self.make(PLATFORM)
        if self._file and self._file.exists():
            kept = json.loads(self._file.read_text())
            self.keys, self.connected = kept["keys"], set(kept["connected"])
            self.revoked = set(kept["revoked"])
            for id in kept["accounts"]:
                self.others[id] = self.make(id)

    def all(self) -> list[Hosted]:
        return [self.platform, *self.others.values()]

    def get(self, id: str | None) -> Hosted:
        """An account by its id; None: the platform's. Raises KeyError."""
        return self.platform if id in (None, PLATFORM) else self.others[id or ""]

    def reach(self, key: str, connected: str | None) -> Hosted:
        """The account of a key, or the connected one that the header names. Raises StripeError."""
        if key in self.revoked:
            raise StripeError(
                401,
                "invalid_request_error",
                f"Expired API Key provided: {key[:7]}****",
                code="api_key_expired",
                executed=False,
            )
        own = self.keys.get(key, PLATFORM)
        if connected is None or connected == own:
            return self.get(own)
        if own != PLATFORM or connected not in self.connected:
            raise StripeError(
                403,
                "invalid_request_error",
                f"The provided key '{key[:7]}****' does not have access to account '{connected}' "
                "(or that account does not exist). Application access may have been revoked.",
                code="account_invalid",
                executed=False,
            )
        return self.get(connected)

    def change(self, id: str, wanted: dict[str, Any]) -> Hosted:
        """Add an account or change it. Lists of keys: `keys` are added, `revoke` are not accepted
        any more; `connected`: whether the platform may act for it."""
        if id != PLATFORM and id not in self.others:
            self.others[id] = self.make(id)
        self.keys |= {str(key): id for key in wanted.get("keys", [])}
        self.revoked |= set(map(str, wanted.get("revoke", [])))
        self.revoked -= set(map(str, wanted.get("keys", [])))
        if "connected" in wanted:
            (self.connected.add if wanted["connected"] else self.connected.discard)(id)
        self._keep()
        return self.get(id)

    async def clear(self) -> None:
        """Forget all accounts but the platform's."""
        for each in self.others.values():
            await each.courier.close()
            each.engine.reset()
        for kept in (self.others, self.keys, self.connected, self.revoked):
            kept.clear()
        self._keep()

    @property
    def _file(self) -> Path | None:
        return self.folder / "accounts.json" if self.folder else None

    def _keep(self) -> None:
        if self._file:
            kept = {"accounts": list(self.others), "keys": self.keys}
            kept |= {"connected": sorted(self.connected), "revoked": sorted(self.revoked)}
            self._file.write_text(json.dumps(kept))
