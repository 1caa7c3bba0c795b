"""The sandbox's own side, outside Stripe's namespace: /_sandbox/… and the page at /."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import orjson
from aiohttp import web

from ops.sandbox.stripe import money
from ops.sandbox.stripe.account import Intent
from ops.sandbox.stripe.hosting import Hosted, Hosting
from ops.sandbox.stripe.ledger import ledger
from ops.sandbox.stripe.limits import Limits
from ops.sandbox.stripe.render import Renderer, client_secret
from ops.sandbox.stripe.server import Front

# The metadata key that Usher puts its booking's id under.
BOOKING_KEY = "booking"
SHOWN_INTENTS = 50

PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True
)
PAGES.filters["written"] = money.written


@dataclass
class Admin:
    hosting: Hosting
    limits: Limits
    front: Front
    base_url: str
    webhook: dict[str, str] | None  # url, secret and events of the endpoint on the command line

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.page),
            web.get("/_sandbox/health", self.health),
            web.get("/_sandbox/ledger", self.ledger),
            web.get("/_sandbox/faults", self.show_faults),
            web.post("/_sandbox/faults", self.change_faults),
            web.post("/_sandbox/limits", self.change_limits),
            web.post("/_sandbox/accounts/{account}", self.change_account),
            web.post("/_sandbox/payouts", self.pay_out),
            web.get("/_sandbox/calls", self.calls),
            web.post("/_sandbox/reset", self.reset),
            web.post("/_sandbox/intents/{id}/{verb:authenticate|settle|lapse}", self.move_intent),
            web.post("/_sandbox/refunds/{id}/settle", self.settle_refund),
            web.post("/_sandbox/disputes/{id}/close", self.close_dispute),
            web.get("/_sandbox/3ds/{id}", self.show_authentication),
            web.post("/_sandbox/3ds/{id}", self.finish_authentication),
        ]

    def hosted(self, request: web.Request) -> Hosted:
        """The account that `?account=` names, or the platform's."""
        try:
            return self.hosting.get(request.query.get("account"))
        except KeyError as error:
            raise web.HTTPNotFound(text="No such account.") from error

    async def change_account(self, request: web.Request) -> web.Response:
        """Add an account or change it: see Hosting.change. `webhook`: {url, secret, events}."""
        wanted = await body(request)
        hosted = self.hosting.change(request.match_info["account"], wanted)
        hosted.courier.connected = bool(wanted.get("connected"))
        if "webhook" in wanted:
            hosted.engine.run("use endpoint", "", wanted["webhook"], request="")
        elif wanted.get("connected") and self.webhook:
            hosted.engine.run("use endpoint", "", dict(self.webhook), request="")
        return as_json({"id": hosted.id})

    async def pay_out(self, request: web.Request) -> web.Response:
        """Pay out the balance of a `currency`."""
        return self._run(self.hosted(request), "pay out", "", await body(request))

    async def health(self, _request: web.Request) -> web.Response:
        return as_json({"ok": True})

    async def ledger(self, request: web.Request) -> web.Response:
        """`?by=` names the metadata key of the booking, `?totals=1` leaves out the long lists."""
        by = request.query.get("by", BOOKING_KEY)
        account = self.hosted(request).engine.account
        return as_json(ledger(account, by, detail="totals" not in request.query))

    async def show_faults(self, request: web.Request) -> web.Response:
        return as_json(self.hosted(request).faults.shown())

    async def change_faults(self, request: web.Request) -> web.Response:
        hosted = self.hosted(request)
        try:
            hosted.faults.change(await body(request))
        except ValueError as error:
            return as_json({"error": {"message": str(error)}}, status=400)
        hosted.engine.account.search_lag = hosted.faults.settings.search_lag_ms / 1000
        return as_json(hosted.faults.shown())

    async def change_limits(self, request: web.Request) -> web.Response:
        try:
            self.limits.change(await body(request))
        except ValueError as error:
            return as_json({"error": {"message": str(error)}}, status=400)
        now = self.limits
        return as_json({"account_rate": now.account_rate, "endpoint_rate": now.endpoint_rate})

    async def calls(self, _request: web.Request) -> web.Response:
        webhooks = self._deliveries()
        injected = self.hosting.platform.faults.injected
        return as_json({**self.front.calls.shown(), "webhooks": webhooks, "faults": injected})

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget all but the limits and the endpoint of the command line."""
        platform = self.hosting.platform
        await self.hosting.clear()
        platform.courier.forget()
        platform.engine.reset()
        self.front.calls.clear()
        platform.faults.clear()
        self.use_endpoint()
        return as_json({"ok": True})

    def use_endpoint(self) -> None:
        if self.webhook:
            self.hosting.platform.engine.run("use endpoint", "", dict(self.webhook), request="")

    async def move_intent(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        return self._run(
            self.hosted(request), f"{verb} intent", request.match_info["id"], await body(request)
        )

    async def settle_refund(self, request: web.Request) -> web.Response:
        return self._run(
            self.hosted(request), "settle refund", request.match_info["id"], await body(request)
        )

    async def close_dispute(self, request: web.Request) -> web.Response:
        return self._run(
            self.hosted(request), "close dispute", request.match_info["id"], await body(request)
        )

    def _move(self, request: web.Request, command: str, params: dict[str, Any]) -> web.Response:
        """Run a command on the object in the path."""
        return self._run(self.hosted(request), command, request.match_info["id"], params)

    def _deliveries(self) -> dict[str, int]:
        """How many deliveries to endpoints ended how, of all accounts."""
        couriers = [hosted.courier for hosted in self.hosting.all()]
        counts = sum((courier.counts for courier in couriers), Counter())
        names = self.hosting.platform.courier.counts
        pending = sum(courier.pending for courier in couriers)
        return {**{name: counts[name] for name in names}, "pending": pending}

    def _run(self, hosted: Hosted, command: str, id: str, params: dict[str, Any]) -> web.Response:
        reply = hosted.engine.run(command, id, params, request="")
        return as_json(Renderer(self.base_url).render(reply.value), status=reply.status)

    async def show_authentication(self, request: web.Request) -> web.Response:
        _, intent = self._intent(request)
        return html("authenticate.html", intent=intent)

    async def finish_authentication(self, request: web.Request) -> web.Response:
        """A plain POST of `outcome`, approve or fail; then back to the shop's return_url."""
        hosted, intent = self._intent(request)
        self._run(hosted, "authenticate intent", intent.id, await body(request))
        _, intent = self._intent(request)
        if intent.return_url:
            raise web.HTTPSeeOther(return_address(intent))
        return html("authenticate.html", intent=intent)

    def _intent(self, request: web.Request) -> tuple[Hosted, Intent]:
        """The PaymentIntent in the path, of whichever account has it."""
        for hosted in self.hosting.all():
            found = hosted.engine.account.intents.get(request.match_info["id"])
            if found is not None:
                return hosted, found
        raise web.HTTPNotFound(text="No such PaymentIntent.")

    async def page(self, request: web.Request) -> web.Response:
        hosted = self.hosted(request)
        account = hosted.engine.account
        return html(
            "page.html",
            intents=list(itertools.islice(account.intents.newest_first(), SHOWN_INTENTS)),
            count=len(account.intents),
            ledger=ledger(account, BOOKING_KEY, detail=False),
            faults=hosted.faults.shown(),
            limits=self.limits,
            webhooks=self._deliveries(),
        )


async def body(request: web.Request) -> dict[str, Any]:
    """A JSON object or a plain form."""
    if request.content_type != "application/json":
        return {name: str(value) for name, value in (await request.post()).items()}
    try:
        found = await request.json()
    except json.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"The body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise web.HTTPBadRequest(text="The body must be a JSON object.")
    return found


def return_address(intent: Intent) -> str:
    """Where the buyer goes after authenticating, with the parameters that Stripe adds."""
    ok = intent.status in ("succeeded", "requires_capture", "processing")
    query = urlencode(
        {
            "payment_intent": intent.id,
            "payment_intent_client_secret": client_secret(intent),
            "redirect_status": "succeeded" if ok else "failed",
        }
    )
    url = intent.return_url or ""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def as_json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def html(name: str, **values: Any) -> web.Response:
    return web.Response(text=PAGES.get_template(name).render(values), content_type="text/html")
