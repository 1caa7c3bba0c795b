"""Organisations with an own account at the gateway, as the sandbox plays it."""

import json
import time
import uuid
from secrets import token_urlsafe

from stripe import WebhookSignature

from ops.hostile.clients import Client, Json, done
from ops.sandbox.stripe.process import Sandbox

PATIENCE_S = 30.0


class Merchant:
    """An organisation's account, which takes the money of its new events. server: has the
    organisation's key; path: the organisation's. Errors: Refused, TimeoutError."""

    def __init__(self, sandbox: Sandbox, server: Client, path: str) -> None:
        self.server, self.secret = server, f"whsec_{token_urlsafe(24)}"
        key = f"sk_live_{uuid.uuid4().hex}"
        sandbox.account(f"acct_{uuid.uuid4().hex[:12]}", keys=[key])
        body, accounts = {"api_key": key}, f"{path}/gateway-accounts"
        added = done(server.post(accounts, body, key=str(uuid.uuid4())), 202)
        self.account = int(added.json()["id"])
        self.path = f"{accounts}/{self.account}"
        body = {"secret": self.secret}
        done(server.ask("PUT", f"{self.path}/webhook-secret", json=body), 200)
        if not self.is_answered(None, PATIENCE_S):
            raise TimeoutError(f"the gateway has not answered about {self.path}")

    def told(self) -> Json:
        """The account, as the API tells it."""
        told: Json = done(self.server.get(self.path), 200).json()
        return told

    def check(self, patience: float = PATIENCE_S) -> bool:
        """Have the gateway asked about the key again; whether it answers within so
        many seconds."""
        before = self.told()["keys_checked_at"]
        done(self.server.post(f"{self.path}/check"), 202)
        return self.is_answered(before, patience)

    def is_answered(self, before: object, patience: float) -> bool:
        """Whether the gateway has answered about the account's key within so many seconds."""
        give_up_at = time.monotonic() + patience
        while time.monotonic() < give_up_at:
            told = self.told()
            if told["keys_checked_at"] != before or told["refusal"]:
                return True
            time.sleep(0.2)
        return False

    def notify(self, secret: str, client: Client) -> int:
        """The status of the answer to a notification that is signed with a secret."""
        body = json.dumps({"id": f"evt_{uuid.uuid4()}", "type": "ping", "data": {"object": {}}})
        now = int(time.time())
        signature = WebhookSignature._compute_signature(f"{now}.{body}", secret)
        headers = {"Stripe-Signature": f"t={now},v1={signature}"}
        headers["Content-Type"] = "application/json"
        path = f"/webhooks/stripe/{self.account}"
        return client.ask("POST", path, data=body, headers=headers).status_code
