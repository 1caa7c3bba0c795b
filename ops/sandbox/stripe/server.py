"""Stripe's API over HTTP: keys, limits, idempotency and faults around each call."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import secrets
import time
from dataclasses import dataclass

import orjson
from aiohttp import web

from ops.sandbox.stripe import faults
from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.calls import Calls, Entry
from ops.sandbox.stripe.commands import READS, match
from ops.sandbox.stripe.errors import StripeError
from ops.sandbox.stripe.faults import Plan
from ops.sandbox.stripe.hosting import Hosted, Hosting
from ops.sandbox.stripe.idempotency import Reply
from ops.sandbox.stripe.limits import Limits
from ops.sandbox.stripe.params import Params
from ops.sandbox.stripe.render import API_VERSION, Renderer

SMOOTH = Plan(0, None)


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed request."""

    name: str
    id: str
    path: str
    hosted: Hosted
    key: str | None
    params: Params
    request: str


class Front:
    """Answers all requests below /v1."""

    def __init__(self, hosting: Hosting, limits: Limits, base_url: str) -> None:
        self._hosting = hosting
        self._limits = limits
        self._base_url = base_url
        self._serial = itertools.count(1)
        self._salt = secrets.token_hex(4)  # request ids differ from one start to the next
        self.calls = Calls()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = f"req_{self._salt}{next(self._serial):08x}"
        plan, faults = SMOOTH, self._hosting.platform.faults
        name = f"{request.method} unknown"
        try:
            call = await understand(request, request_id, self._hosting)
            name, faults = call.name, call.hosted.faults
            self._limits.take(call.hosted.id, name, time.monotonic())
            plan = faults.plan(name)
            reply = await self._answer(call, plan)
        except StripeError as error:
            reply = Reply(error, error.status, request_id)
        dropped = plan.kind in ("drop_before", "drop_after")
        key = request.headers.get("Idempotency-Key")
        seconds = time.perf_counter() - started
        failed = reply.request == request_id and reply.status in (429, 500)
        faults.note(plan, seconds, took_effect=dropped or failed)
        self.calls.note(
            Entry(
                time.time(),
                name,
                request.path,
                "dropped" if dropped else str(reply.status),
                request_id,
                key,
                reply.request != request_id,
                plan.kind,
                round(seconds * 1000, 2),
            )
        )
        if dropped and request.transport:
            request.transport.abort()
        return self._respond(reply, request_id, key)

    async def _answer(self, call: Call, plan: Plan) -> Reply:
        """Half of the latency passes before the work and half after it."""
        if call.name in READS:
            await pause(plan.latency)
            return self._work(call, plan)
        if call.key is None:
            await pause(plan.latency / 2)
            reply = self._work(call, plan)
            await pause(plan.latency / 2)
            return reply
        return await self._answer_once(call, plan)

    async def _answer_once(self, call: Call, plan: Plan) -> Reply:
        """As `_answer`, under an idempotency key."""
        keys, owner = call.hosted.engine.keys, (call.hosted.id, call.key or "")
        kept = keys.claim(owner, call.path, call.params, time.time())
        if kept:
            await pause(plan.latency)
            return kept
        reply = None
        try:
            await pause(plan.latency / 2)
            reply = self._work(call, plan)
            await pause(plan.latency / 2)
        finally:
            if reply and stored(reply):
                keys.keep(owner, reply)
            else:
                keys.release(owner)
        return reply

    def _work(self, call: Call, plan: Plan) -> Reply:
        """Do the call itself. Raises StripeError if nothing was executed."""
        read.check_expansions(call.params, expandable(call.name))
        if plan.kind == "drop_before":
            raise StripeError(500, "api_error", "The connection breaks.", executed=False)
        if plan.kind == "lock_timeout":
            raise faults.locked()
        if call.name in READS:
            if plan.kind in ("fail_before", "fail_after"):
                raise faults.broken()
            return call.hosted.engine.read(call.name, call.id, call.params, call.request)
        return call.hosted.engine.run(
            call.name,
            call.id,
            call.params,
            request=call.request,
            path=call.path,
            owner=(call.hosted.id, call.key) if call.key else None,
            fault=plan.kind,
        )

    def _respond(self, reply: Reply, request_id: str, key: str | None) -> web.Response:
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        if key:
            headers["Idempotency-Key"] = key
        if reply.request != request_id:
            headers["Idempotent-Replayed"] = "true"
            headers["Original-Request"] = reply.request
        if isinstance(reply.value, StripeError):
            headers.update(reply.value.headers)
        body = orjson.dumps(Renderer(self._base_url, reply.expand).render(reply.value))
        return web.Response(
            body=body, status=reply.status, headers=headers, content_type="application/json"
        )


async def understand(request: web.Request, request_id: str, hosting: Hosting) -> Call:
    """Raises StripeError: no or no valid API key, no such URL, or parameters that do not parse."""
    hosted = hosting.reach(api_key(request), request.headers.get("Stripe-Account"))
    found = match(request.method, request.path)
    if found is None:
        raise StripeError(
            404,
            "invalid_request_error",
            f"Unrecognized request URL ({request.method}: {request.path}). The sandbox has no such "
            "call; ops/sandbox/stripe/commands.py lists those it has.",
            executed=False,
        )
    name, id = found
    post = request.method == "POST"
    encoded = await request.text() if post else request.query_string
    key = request.headers.get("Idempotency-Key") if post else None
    return Call(name, id, request.path, hosted, key, read.parse(encoded), request_id)


def api_key(request: web.Request) -> str:
    """The secret key in `Authorization`, by Bearer or as the user name of Basic."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    if not value:
        raise unauthorised(
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not value.startswith(("sk_", "rk_")):
        raise unauthorised(f"Invalid API Key provided: {value[:3]}****")
    return value


def unauthorised(message: str) -> StripeError:
    return StripeError(401, "invalid_request_error", message, executed=False)


def expandable(call: str) -> frozenset[str]:
    if call == "GET /v1/balance_transactions":
        return frozenset({"data.source"})
    if "payment_intents" not in call:
        return frozenset()
    lists = ("GET /v1/payment_intents", "GET /v1/payment_intents/search")
    return frozenset({"data.latest_charge" if call in lists else "latest_charge"})


def stored(reply: Reply) -> bool:
    """Whether the result is stored under its idempotency key."""
    return not isinstance(reply.value, StripeError) or reply.value.executed


async def pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
