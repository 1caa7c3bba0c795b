"""Run the sandbox: `python -m ops.sandbox.stripe --port 8421`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import signal
import socket
import time
from pathlib import Path

import uvloop
from aiohttp import web

from ops.sandbox.stripe import limits
from ops.sandbox.stripe.account import PLATFORM, Due
from ops.sandbox.stripe.admin import Admin
from ops.sandbox.stripe.engine import Engine, Timing
from ops.sandbox.stripe.faults import Faults
from ops.sandbox.stripe.hosting import Hosted, Hosting
from ops.sandbox.stripe.limits import Limits
from ops.sandbox.stripe.server import Front
from ops.sandbox.stripe.webhooks import Courier, Patience

BACKLOG = 1024  # connections that may wait to be accepted when a sale opens
NUMBERS = (
    ("--account-rate", limits.LIVE_ACCOUNT_RATE, "requests a second for an account; 0: no limit"),
    ("--endpoint-rate", limits.ENDPOINT_RATE, "requests a second for each endpoint; 0: no limit"),
    ("--webhook-backoff", Patience.backoff, "seconds before the first retry, doubled each time"),
    ("--webhook-timeout", Patience.timeout, "seconds that a receiver has to answer"),
    ("--settle-after", Timing.settle_after, "seconds until a delayed payment ends; 0: never"),
    ("--refund-after", Timing.refund_after, "seconds until a pending refund ends; 0: never"),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox.stripe", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8421, help="0: any free one")
    parser.add_argument("--public-url", help="where browsers find it, if not at http://host:port")
    parser.add_argument("--state-dir", type=Path, help="keep the state here, over restarts")
    parser.add_argument("--webhook-url", help="deliver events here")
    parser.add_argument("--webhook-secret", help="sign them with this secret (whsec_…)")
    parser.add_argument("--webhook-events", default="*", help="their types, by commas (all: *)")
    for name, default, meaning in NUMBERS:
        help = f"{meaning} (default: {default:g})"
        parser.add_argument(name, type=float, default=default, help=help)
    found = parser.parse_args()
    if found.webhook_url and not found.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret: the receiver checks the signature.")
    return found


async def serve(options: argparse.Namespace) -> None:
    listener = listen(options.host, options.port)
    port = listener.getsockname()[1]
    base_url = options.public_url or f"http://{options.host}:{port}"
    rates = Limits(options.account_rate, options.endpoint_rate)
    hosting = Hosting(functools.partial(host, options, base_url), options.state_dir)
    front = Front(hosting, rates, base_url)
    webhook = None
    if options.webhook_url:
        webhook = {
            "url": options.webhook_url,
            "secret": options.webhook_secret,
            "events": options.webhook_events,
        }
    admin = Admin(hosting, rates, front, base_url, webhook)
    admin.use_endpoint()
    app = web.Application()
    app.add_routes(admin.routes())
    app.router.add_route("*", "/v1/{call:.*}", front.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    print(f"Stripe sandbox at {base_url}", flush=True)
    await stop_signal()
    await runner.cleanup()
    for each in hosting.all():
        await each.courier.close()


def listen(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def host(options: argparse.Namespace, base_url: str, id: str) -> Hosted:
    """Begin an account, or continue what an earlier run left open of it."""
    folder: Path | None = options.state_dir
    if folder and id != PLATFORM:
        folder = folder / id
    engine = Engine(Timing(options.settle_after, options.refund_after), folder, id)
    faults = Faults()
    patience = Patience(options.webhook_backoff, options.webhook_timeout)
    courier = Courier(engine, faults, base_url, patience)
    courier.open()
    loop = asyncio.get_running_loop()
    engine.deliver = courier.deliver

    def arm(due: Due) -> None:
        loop.call_later(max(0, due.at - time.time()), engine.fire, due)

    engine.arm = arm
    engine.load()
    return Hosted(engine, courier, faults)


async def stop_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve(arguments()))
