"""Run commands on the account: journal them, replay them after a restart, fire the due ones."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.sandbox.stripe.account import PLATFORM, Account, Due, Endpoint, Event
from ops.sandbox.stripe.commands import COMMANDS, READS
from ops.sandbox.stripe.errors import StripeError
from ops.sandbox.stripe.faults import broken
from ops.sandbox.stripe.idempotency import Keys, Owner, Reply
from ops.sandbox.stripe.journal import Journal
from ops.sandbox.stripe.params import Params, listed

Line = dict[str, Any]
Deliver = Callable[[Event, Endpoint], None]


@dataclass(frozen=True)
class Timing:
    """Seconds until delayed payments and refunds end by themselves; 0 leaves it to admin calls."""

    settle_after: float = 3
    refund_after: float = 3


class Engine:
    """One account and everything that must survive a restart.

    `deliver` is called for each event and endpoint that wants it, `arm` for each command that is to
    run later; set both before the first command.
    """

    def __init__(self, timing: Timing, folder: Path | None, id: str = PLATFORM) -> None:
        self._timing, self._id = timing, id
        self._journal = Journal(folder) if folder else None
        self.deliver: Deliver = lambda event, endpoint: None
        self.arm: Callable[[Due], None] = lambda due: None
        self._begin_account(secrets.token_hex(4))

    def _begin_account(self, salt: str) -> None:
        self.account = Account(salt, self._timing.settle_after, self._timing.refund_after)
        self.account.id = self._id
        self.keys = Keys()

    def load(self) -> None:
        """Repeat the journal's commands; then deliver and arm what was left open."""
        undelivered: dict[tuple[str, str], tuple[Event, Endpoint]] = {}
        for line in self._journal.read() if self._journal else ():
            if "salt" in line:
                self._begin_account(line["salt"])
            elif "delivered" in line:
                undelivered.pop(tuple(line["delivered"]), None)
            else:
                for event, endpoint in self._repeat(line):
                    undelivered[event.id, endpoint.id] = event, endpoint
        if not self.account.serial:
            self._write({"salt": self.account.salt})
        for event, endpoint in undelivered.values():
            self.deliver(event, endpoint)
        for due in self.account.due.values():
            self.arm(due)

    def _repeat(self, line: Line) -> Iterator[tuple[Event, Endpoint]]:
        known = len(self.account.events)
        reply = self._perform(line)
        if line.get("owner"):
            account, key = line["owner"]
            self.keys.restore((account, key), line["path"], line["params"], line["at"], reply)
        return self._addressed(known)

    def run(
        self,
        call: str,
        id: str,
        params: Params,
        *,
        request: str,
        path: str = "",
        owner: Owner | None = None,
        fault: str | None = None,
    ) -> Reply:
        """Run a command and journal it. The reply's value is a StripeError if it was refused."""
        line = {
            "at": time.time(),
            "n": self.account.serial,
            "call": call,
            "id": id,
            "params": params,
            "request": request,
            "path": path,
            "owner": owner,
            "fault": fault,
        }
        known, armed = len(self.account.events), len(self.account.due)
        reply = self._perform(line)
        if not isinstance(reply.value, StripeError) or reply.value.executed:
            self._write(line)
        for event, endpoint in self._addressed(known):
            self.deliver(event, endpoint)
        if len(self.account.due) > armed:
            self.arm(next(reversed(self.account.due.values())))
        return reply

    def _perform(self, line: Line) -> Reply:
        """Do a line's command with its time and ids: now, or again after a restart."""
        owner, request = line["owner"], line["request"]
        self.account.begin(line["at"], request, owner[1] if owner else None)
        self.account.serial = line["n"]
        if line["fault"] == "fail_before":
            return Reply(broken(), 500, request)
        try:
            value = COMMANDS[line["call"]](self.account, line["id"], line["params"])
        except StripeError as error:
            if line["fault"] == "fail_after" and error.executed:
                return Reply(broken(), 500, request)
            return Reply(error, error.status, request)
        self.account.due.pop((line["call"], line["id"]), None)
        if line["fault"] == "fail_after":
            return Reply(broken(), 500, request)
        return Reply(value, 200, request, expanded(line["params"]))

    def _addressed(self, known: int) -> Iterator[tuple[Event, Endpoint]]:
        """The events after the first `known`, each with the endpoints that want it."""
        if not len(self.account.endpoints):
            return
        for event in self.account.events.since(known):
            for endpoint in self.account.endpoints:
                if endpoint.wants(event.type):
                    yield event, endpoint

    def read(self, call: str, id: str, params: Params, request: str) -> Reply:
        """Raises StripeError."""
        self.account.now = time.time()
        value = READS[call](self.account, id, params)
        return Reply(value, 200, request, expanded(params))

    def fire(self, due: Due) -> None:
        """Run a command whose time has come, unless it has been run or dropped meanwhile."""
        if self.account.due.get((due.command, due.id)) is due:
            del self.account.due[due.command, due.id]
            self.run(due.command, due.id, {"outcome": due.outcome}, request="")

    def delivered(self, event: Event, endpoint: Endpoint) -> None:
        self._write({"delivered": [event.id, endpoint.id]})

    def reset(self) -> None:
        """Forget everything."""
        if self._journal:
            self._journal.clear()
        self._begin_account(secrets.token_hex(4))
        self._write({"salt": self.account.salt})

    def _write(self, line: Line) -> None:
        if self._journal:
            self._journal.write(line)


def expanded(params: Params) -> frozenset[str]:
    return frozenset(listed(params, "expand"))
