"""schemathesis over the app, in this process.

It makes requests from the description: valid ones, and ones that break one rule. What it made up is
kept or, in part, replaced by what exists (ops/fuzz/asking.py) just before the request is sent. A
location that was made wrong on purpose is always kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import uuid4

import schemathesis
from flask import Flask
from schemathesis import AuthContext, CheckContext, HookContext, Response
from schemathesis.checks import CHECKS
from schemathesis.core.failures import Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.run.stateful import _executor
from schemathesis.engine.run.stateful.context import StatefulContext
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import EnsureResourceAvailability, UseAfterFree
from schemathesis.specs.openapi.schemas import OpenApiSchema
from schemathesis.transport.wsgi import WSGI_TRANSPORT

from ops.fuzz.asking import Asked, Json, ask, ask_anything
from ops.fuzz.callers import choose_role, token_of
from ops.fuzz.world import World

LIKELY = 0.75
"""How often a request is about things that exist."""
Made = schemathesis.Case[Any]
HEADER, LATER = "Authorization", "Bearer decided-later"

ACCEPTANCE = "positive_data_acceptance"
GATEWAY = ("POST /webhooks/stripe", "POST /webhooks/stripe/{account_id}")
JOIN = "POST /v1/events/{event_id}/queue"

REFUSED_BY_RULES = ["2xx", "3xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""Answers to valid requests: 422 is for rules that no schema can say, such as that a sale ends
after it begins. Errors of the server have a check of their own."""


@dataclass(frozen=True)
class Size:
    """examples: random requests for each operation; scenarios: sequences of requests, with so many
    steps each; coverage: also all values at the bounds of the description. left_out: operations
    that are sent in sequences alone."""

    examples: int = 0
    scenarios: int = 0
    steps: int = 10
    coverage: bool = False
    left_out: tuple[str, ...] = ()


def configure(seed: int, size: Size) -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "seed": seed,
            "workers": 1,
            "continue-on-failure": True,
            # Without it a run would begin with what earlier ones have found.
            "cache": {"enabled": False},
            "output": {"sanitization": {"enabled": False}},
            "checks": {ACCEPTANCE: {"expected-statuses": REFUSED_BY_RULES}},
            "operations": list(configure_operations(size)),
            "phases": {
                "examples": {"enabled": size.coverage},
                "coverage": {"enabled": size.coverage},
                "fuzzing": {
                    "enabled": size.examples > 0,
                    "generation": limit(size.examples),
                },
                "stateful": {
                    "enabled": size.scenarios > 0,
                    "max-steps": size.steps,
                    "generation": limit(size.scenarios),
                },
            },
        }
    )


def configure_operations(size: Size) -> Iterator[Json]:
    # A request that its description allows still needs the gateway's signature.
    for operation in GATEWAY:
        yield {"include-name": operation, "checks": {ACCEPTANCE: {"enabled": False}}}
    if size.left_out:
        alone = ("examples", "coverage", "fuzzing")
        off = {phase: {"enabled": False} for phase in alone}
        yield {"include-name": list(size.left_out), "phases": off}


def limit(examples: int) -> Json:
    return {"max-examples": max(examples, 1), "no-shrink": True, "database": "none"}


@dataclass
class Sender:
    """Changes requests before they are sent. roles: by the request's id; foreign: requests about
    what belongs to another buyer or organisation; owners: the tokens of the buyers who were
    answered an id."""

    world: World
    dice: Random
    roles: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    owners: dict[str, str] = field(default_factory=dict)
    last_key: str = "first"

    def change(self, context: HookContext, case: Made, kwargs: dict[str, Any]) -> None:
        self.world.lift_suspensions()
        # In this process no client unpacks what comes.
        case.headers.setdefault("Accept-Encoding", "identity")
        likely = self.dice.random() < LIKELY and case.method == case.operation.method.upper()
        kept = wrong_locations(case)
        asked = self._ask(case, kept) if likely else Asked()
        if is_linked(case):
            asked = self._follow(case, asked)
            kept |= {ParameterLocation.PATH}
        role = choose_role(self.dice, schemes_of(case), asked)
        self.roles[case.id] = role
        if case.headers.get(HEADER) == LATER:
            self._set_caller(case, token_of(self.world, role, asked))
            if likely and not is_linked(case) and is_owned(case, role):
                self.foreign.add(case.id)
        if likely:
            self._fill(case, asked, kept)

    def _ask(self, case: Made, kept: set[ParameterLocation]) -> Asked:
        """A request that is wrong is refused before it is looked at what it is about, so that no
        object has to be made for it."""
        if kept:
            return ask_anything(self.world, case.path_parameters or ())
        return ask(self.world, case.operation.label)

    def check_owner(self, context: CheckContext, response: Response, case: Made) -> None:
        """What belongs to one buyer or organisation is not there for another."""
        if case.id in self.foreign and response.status_code < 400:
            raise AssertionError(f"{self.roles[case.id]} may not see or change it")

    def note(self, context: HookContext, case: Made, response: Response) -> None:
        """Remember to which buyer an answer's ids belong, for requests that follow."""
        role = self.roles.get(case.id, "none")
        if not role.endswith("buyer") or not 200 <= response.status_code < 300:
            return
        token = str(case.headers.get(HEADER, "")).removeprefix("Bearer ")
        for value in ids_of(response):
            self.owners[value] = token
        if case.operation.label == JOIN and in_sequence(case) and self.dice.random() < 0.5:
            self.world.decide(int(case.path_parameters["event_id"]))

    def forget(self) -> None:
        """Forget the requests of a round."""
        self.roles.clear()
        self.foreign.clear()
        self.owners.clear()

    def _follow(self, case: Made, asked: Asked) -> Asked:
        """The same, by the buyer to whom the ids in the path belong."""
        known = [self.owners.get(str(value)) for value in case.path_parameters.values()]
        return replace(asked, token=asked.token or next(filter(None, known), None))

    def _set_caller(self, case: Made, token: str | None) -> None:
        if token:
            case.headers[HEADER] = f"Bearer {token}"
        else:
            del case.headers[HEADER]

    def _fill(self, case: Made, asked: Asked, kept: set[ParameterLocation]) -> None:
        if ParameterLocation.PATH not in kept:
            known = {name: str(asked.ids[name]) for name in case.path_parameters or {}
                     if name in asked.ids}  # fmt: skip
            case.path_parameters = {**case.path_parameters, **known}
        if ParameterLocation.QUERY not in kept:
            case.query = case.query if asked.query is None else dict(asked.query)
        if ParameterLocation.HEADER not in kept and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = self._key()
        if asked.body is not None and ParameterLocation.BODY not in kept:
            case.body = self._compose(case.body, asked)
            case.media_type = case.media_type or "application/json"

    def _key(self) -> str:
        """Usually a new one."""
        if self.dice.random() < 0.95:
            self.last_key = uuid4().hex
        return self.last_key

    def _compose(self, made_up: Any, asked: Asked) -> Json:
        """The body that succeeds; or the made-up one, in which all of it or what is known is
        replaced."""
        assert asked.body is not None
        chance = self.dice.random()
        if chance < 0.4 or not isinstance(made_up, dict):
            return asked.body
        known = {name: asked.body[name] for name in asked.known if name in asked.body}
        return {**made_up, **(asked.body if chance < 0.7 else known)}


def wrong_locations(case: Made) -> set[ParameterLocation]:
    """Where the request breaks the description."""
    if case.meta is None:
        return set()
    modes = case.meta.components.items()
    return {location for location, component in modes if component.mode.is_negative}


def in_sequence(case: Made) -> bool:
    return case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL


def is_linked(case: Made) -> bool:
    """Whether all values of the path come from an earlier answer of a sequence."""
    if case.meta is None or not in_sequence(case) or not case.path_parameters:
        return False
    return ParameterLocation.PATH not in case.meta.components


def is_owned(case: Made, role: str) -> bool:
    """Whether a request is about something that belongs to another one than this caller."""
    if role == "other buyer":
        return "{booking_id}" in case.path or "{entry_id}" in case.path
    return role == "other organisation" and "{" in case.path and not is_public(case)


def is_public(case: Made) -> bool:
    """Whether it can be asked without a key, too: others are then shown what all are shown."""
    security = security_of(case)
    return not security or {} in security


def ids_of(response: Response) -> Iterator[str]:
    """The UUIDs of an answer, or of a list's rows: those of bookings and of entries."""
    try:
        answer = response.json()
    except ValueError:
        return
    for row in answer if isinstance(answer, list) else [answer]:
        if isinstance(row, dict):
            names = ("id", "booking_id", "entry_id")
            yield from (row[name] for name in names if isinstance(row.get(name), str))


def schemes_of(case: Made) -> set[str]:
    return {scheme for each in security_of(case) for scheme in each}


def security_of(case: Made) -> list[Json]:
    security: list[Json] = case.operation.definition.raw.get("security", [])
    return security


class Credentials:
    """Marks requests as sent with credentials; which ones is decided when they are sent."""

    def get(self, case: Made, context: AuthContext) -> str:
        return LATER

    def set(self, case: Made, data: str, context: AuthContext) -> None:
        case.headers[HEADER] = data


def is_fault(failure: Failure, role: str) -> bool:
    """Whether a failed check says something. Deleting a booking, an entry of a queue or a key ends
    it, and who had it can still read it. What was made can be read by those whom it is for; what a
    resource has below it, such as the queue of a draft, may come later."""
    ended = ("/bookings/{booking_id}", "/queue/{entry_id}")
    if isinstance(failure, UseAfterFree):
        return not str(failure.operation).endswith((*ended, "/api-keys/{key_id}"))
    if isinstance(failure, EnsureResourceAvailability):
        path = failure.not_available_with.split()[1]
        made = failure.created_with.split()[1]
        readers = ("buyer",) if path.endswith(ended) else ("organisation", "operator")
        return path.rpartition("/{")[0] == made and path.endswith("}") and role in readers
    return True


@contextmanager
def without_network() -> Iterator[None]:
    """Requests that checks of schemathesis send themselves to an app in this process have arguments
    for networks, which werkzeug refuses (seen in 4.32)."""

    def send(case: Made, **kwargs: Any) -> Response:
        for name in ("max_redirects", "verify", "cert", "proxies"):
            kwargs.pop(name, None)
        return original(case, **kwargs)

    original = WSGI_TRANSPORT.send
    WSGI_TRANSPORT.send = send  # type: ignore[method-assign]
    try:
        yield
    finally:
        WSGI_TRANSPORT.send = original  # type: ignore[method-assign]


@contextmanager
def going_on(scenarios: int) -> Iterator[None]:
    """When a sequence begins as an earlier one did, the world has changed and answers differ.
    schemathesis takes that for the end of the phase (seen in 4.32), after a tenth of it or less;
    here the next suite begins, until there were so many sequences."""

    def classify(*, ctx: StatefulContext, **given: Any) -> tuple[Status, bool, list[Any]]:
        found, again, told = original(ctx=ctx, **given)
        return found, again or ctx.completed_scenarios < scenarios, told

    original = _executor._classify_flaky
    _executor._classify_flaky = classify
    try:
        yield
    finally:
        _executor._classify_flaky = original


@contextmanager
def changing(sender: Sender) -> Iterator[None]:
    def before_call(context: HookContext, case: Made, kwargs: dict[str, Any]) -> None:
        sender.change(context, case, kwargs)

    def after_call(context: HookContext, case: Made, response: Response) -> None:
        sender.note(context, case, response)

    def owners_alone(context: CheckContext, response: Response, case: Made) -> None:
        sender.check_owner(context, response, case)

    schemathesis.hook("before_call")(before_call)
    schemathesis.hook("after_call")(after_call)
    schemathesis.check(owners_alone)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)
        schemathesis.hooks.unregister(after_call)
        CHECKS.unregister(owners_alone.__name__)


def send(app: Flask, sender: Sender, seed: int, size: Size) -> Iterator[events.EngineEvent]:
    """Send requests; what schemathesis' engine tells."""
    config = configure(seed, size)
    schema: OpenApiSchema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
    schema.auth(refresh_interval=None)(Credentials)

    def filter_failure(
        context: HookContext, failure: Failure, case: Made, response: Response
    ) -> bool:
        return is_fault(failure, sender.roles.get(case.id, "none"))

    schema.hooks.hook(filter_failure)
    with changing(sender), without_network(), going_on(size.scenarios):
        yield from from_schema(schema).execute()
