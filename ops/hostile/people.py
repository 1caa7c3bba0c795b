"""People in attacks: owners of mailboxes, and members of an organisation with a second factor."""

import time
import uuid
from dataclasses import dataclass

import pyotp
import requests

from ops.hostile.clients import Client, done
from ops.hostile.scene import Scene

PASSWORD = "correct horse battery"
PATIENCE_S = 20.0
FACTOR = "/v1/me/second-factor"
MEMBERSHIPS = "/v1/me/memberships"


def with_password(scene: Scene) -> str:
    """The address of a new account with a password. It is asked for again when too many are made
    at once."""
    owner, email = scene.client(), f"{uuid.uuid4()}@example.org"
    body = {"email": email, "name": "Alice", "password": PASSWORD}
    give_up_at = time.monotonic() + PATIENCE_S
    while (answer := owner.post("/v1/accounts", body)).status_code == 503:
        if time.monotonic() > give_up_at:
            break
        time.sleep(0.2)
    done(answer)
    return email


def sign_in(client: Client, email: str, password: str = PASSWORD) -> requests.Response:
    return client.post("/v1/tokens", {"email": email, "password": password})


def until_signed_in(client: Client, email: str) -> float:
    """Seconds until the owner is signed in, who tries again as it is told. Errors: TimeoutError."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        answer = sign_in(client, email)
        if answer.status_code == 201:
            return time.monotonic() - began
        time.sleep(min(float(answer.headers.get("Retry-After", 1)), 3))
    raise TimeoutError(f"not signed in after {PATIENCE_S:.0f} s: {answer.status_code}")


def ask_for_code(client: Client, email: str) -> requests.Response:
    return client.post("/v1/tokens", {"email": email})


def sign_in_by_mail(scene: Scene, email: str) -> Client:
    """The owner of a mailbox, who asks for a code, reads the mail and types it. Errors: Refused."""
    owner = scene.client()
    asked = done(ask_for_code(owner, email), 202)
    body = {"code": scene.mailed(email, "sign_in"), "request": asked.json()["request"]}
    owner.token, owner.email = done(owner.post("/v1/tokens", body)).json()["token"], email
    owner.id = done(owner.get("/v1/me"), 200).json()["id"]
    return owner


@dataclass
class CodeApp:
    """An app that makes codes from a seed."""

    seed: str

    def first_code(self) -> str:
        """The code of half a minute ago, which leaves the present one to be used: each counts
        once."""
        return pyotp.TOTP(self.seed).at(int(time.time()) - 30)

    def present_code(self) -> str:
        """The code that the app shows now."""
        return pyotp.TOTP(self.seed).now()


def set_up_factor(person: Client) -> CodeApp:
    """The app of a person who sets up a second factor. Errors: Refused."""
    app = CodeApp(done(person.post(FACTOR)).json()["seed"])
    done(person.post(f"{FACTOR}/confirmation", {"code": app.first_code()}))
    return app


def give_factor(person: Client, code: str) -> requests.Response:
    return person.post(f"{FACTOR}/check", {"code": code})


def invite(scene: Scene, email: str, role: str) -> str:
    """The code of the mail with which a person is invited. Errors: Refused."""
    server = scene.server()
    body = {"email": email, "role": role}
    done(server.post(f"{scene.path}/invitations", body, key=str(uuid.uuid4())))
    return scene.mailed(email, "invited")


def member(scene: Scene, role: str) -> Client:
    """A person with a role in the scene's organisation, signed in. Errors: Refused."""
    email = f"{role}-{uuid.uuid4()}@example.org"
    code = invite(scene, email, role)
    person = sign_in_by_mail(scene, email)
    done(person.post(MEMBERSHIPS, {"code": code}))
    return person
