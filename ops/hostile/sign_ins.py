"""Attacks on signing in: passwords are guessed, hashes keep processes busy, accounts are found."""

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import requests

from ops.hostile.clients import Client
from ops.hostile.people import PASSWORD, sign_in, until_signed_in, with_password
from ops.hostile.scene import Scene, meanwhile, wait_for_window
from ops.hostile.table import attack
from ops.local.servers import free_port
from ops.local.stack import listen_at


def flood(client: Client, over: threading.Event) -> None:
    """Send wrong passwords, and make an account with a password now and then."""
    for n in itertools.count():
        body = {"email": f"{uuid.uuid4()}@example.org", "password": "not the right one"}
        path, more = ("/v1/accounts", {"name": "M"}) if n % 4 == 0 else ("/v1/tokens", {})
        if client.post(path, body | more).status_code == 429:
            over.wait(0.2)
        if over.is_set():
            return


def flooding(clients: list[Client]) -> AbstractContextManager[None]:
    return meanwhile(*(partial(flood, client) for client in clients))


@attack("passwords", "seconds until the owner of an account is signed in", 5)
def wrong_passwords_stop_sign_ins(scene: Scene) -> float:
    """Eight connections from one address send wrong passwords without a pause."""
    email, address = with_password(scene), scene.address()
    with flooding([scene.client(address=address) for _ in range(8)]):
        time.sleep(1)
        return max(until_signed_in(scene.client(), email) for _ in range(5))


@attack("passwords", "seconds until the owner of an account is signed in", 10)
def wrong_passwords_from_many_addresses_stop_sign_ins(scene: Scene) -> float:
    """Eight connections, each from an address of its own, send wrong passwords without a pause."""
    email = with_password(scene)
    with flooding([scene.client() for _ in range(8)]):
        time.sleep(1)
        return max(until_signed_in(scene.client(), email) for _ in range(5))


@attack("passwords", "seconds that the slowest of twenty honest sign-ins takes", 1)
def honest_sign_ins_beside_wrong_passwords(scene: Scene) -> float:
    """Eight connections from one address send wrong passwords without a pause; beside them twenty
    owners sign in, each from an own address, one after another."""
    owners, address = [with_password(scene) for _ in range(20)], scene.address()
    with flooding([scene.client(address=address) for _ in range(8)]):
        time.sleep(1)
        return max(until_signed_in(scene.client(), email) for email in owners)


def guess(scene: Scene, client: Client, email: str, times: int) -> int:
    """How many guesses were checked."""
    checked = 0
    for n in range(times):
        status = sign_in(client, email, f"guess number {n}").status_code
        if status == 429:
            break
        checked += status in (201, 401)
    return checked


@attack("guessing", "guesses for a mailbox from one address in a quarter of an hour", 10)
def a_password_is_guessed(scene: Scene) -> float:
    """One client guesses the password of one account, forty times."""
    return guess(scene, scene.client(), with_password(scene), 40)


@attack("guessing", "guesses for a mailbox in an hour", 50)
def a_password_is_guessed_from_many_addresses(scene: Scene) -> float:
    """Ten clients at ten addresses guess the password of one account, in many spellings."""
    wait_for_window(30, 3600)
    email = with_password(scene)
    spellings = [email, email.upper(), email.replace("@e", "@E"), f" {email}"]
    clients = [scene.client() for _ in range(10)]
    return sum(guess(scene, c, spellings[n % 4], 10) for n, c in enumerate(clients))


@contextmanager
def signing_up_by_mail(scene: Scene) -> Iterator[str]:
    """The URL of a further web process whose accounts are made by mail."""
    url = f"http://127.0.0.1:{free_port()}"
    supervisor = scene.stack.supervisor
    env = {**listen_at(url), "SIGN_UP": "by_mail", "TRUSTED_PROXIES": "0", "RATE_LIMITS": "on"}
    supervisor.start("private", scene.stack.procfile["web"], env=env)
    supervisor.wait_for_http("private", f"{url}/readyz")
    yield url


def seen_of(answer: requests.Response) -> tuple[object, ...]:
    """What an answer shows to who asks."""
    hidden = ("Date", "X-Request-Id", "RateLimit-Remaining", "RateLimit-Reset")
    headers = {name: value for name, value in answer.headers.items() if name not in hidden}
    body = {k: v for k, v in answer.json().items() if k not in ("request_id", "request")}
    return answer.status_code, sorted(headers.items()), sorted(body.items())


@attack("enumeration", "answers that differ for addresses that have an account", 0)
def accounts_are_found_by_asking(scene: Scene) -> list[str]:
    """Sign-up by mail, codes and passwords are asked for with addresses that have an account, and
    with some that have none; answers are compared."""
    known = with_password(scene)
    with signing_up_by_mail(scene) as url:
        forms = [
            ("/v1/accounts", {"name": "Mallory"}),
            ("/v1/accounts", {"name": "Mallory", "password": PASSWORD}),
            ("/v1/tokens", {}),
            ("/v1/tokens", {"password": "not the right one"}),
        ]
        pairs = [
            [
                seen_of(scene.client(url).post(path, more | {"email": email}))
                for email in (known, f"{uuid.uuid4()}@x.example")
            ]
            for path, more in forms
        ]
        return [f"{known} and not {unknown}" for known, unknown in pairs if known != unknown]


@attack("enumeration", "addresses that one client can ask for in a minute", 600)
def accounts_are_found_by_signing_up(scene: Scene) -> float:
    """Where an account is made at once, the answer tells whether there is one: one client tries
    addresses as fast as it can."""
    known, mallory = with_password(scene), scene.client()
    wait_for_window(40)
    body, until, told = {"email": known, "name": "Mallory"}, time.monotonic() + 35, 0
    while time.monotonic() < until:
        if mallory.post("/v1/accounts", body).status_code == 429:
            return told
        told += 1
    return told
