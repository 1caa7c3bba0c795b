"""A client of the sandbox, and a receiver of its webhooks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import stripe

from ops.sandbox.stripe.process import Sandbox

KEY = "sk_test_alice"
CREATE = "POST /v1/payment_intents"
PATIENCE = 20  # seconds that a test waits for what must happen, before it fails
Create = Callable[..., stripe.PaymentIntent]


def client_of(sandbox: Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": sandbox.url}, max_network_retries=0)


def params(method: str = "pm_card_visa", **changes: Any) -> Any:
    return {
        "amount": 5000,
        "currency": "eur",
        "capture_method": "manual",
        "confirm": True,
        "payment_method": method,
        "payment_method_types": ["card"],
        "metadata": {"booking": "b1"},
    } | changes


class Receiver:
    """An HTTP server that puts what it gets into a queue and answers as it is told."""

    def __init__(self) -> None:
        self.got: Queue[tuple[bytes, str]] = Queue()
        self.answers: list[int] = []  # statuses of the next answers; then 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.got.put((body, self.headers["Stripe-Signature"]))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, secret: str) -> stripe.Event:
        """The next delivery, its signature checked by Stripe's own library."""
        body, signature = self.got.get(timeout=PATIENCE)
        return stripe.Webhook.construct_event(body, signature, secret)  # type: ignore[no-any-return]

    def until(self, type: str, secret: str) -> stripe.Event:
        """The next event of a type."""
        while True:
            event = self.next(secret)
            if event.type == type:
                return event

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def register(client: stripe.StripeClient, receiver: Receiver, *events: str) -> str:
    """Tell the sandbox of the receiver; the endpoint's secret."""
    wanted: Any = {"url": receiver.url, "enabled_events": list(events or ("*",))}
    endpoint = client.v1.webhook_endpoints.create(wanted)
    assert endpoint.secret is not None
    return endpoint.secret
