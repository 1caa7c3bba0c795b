"""Attacks on mailed codes: six digits, which are guessed."""

from collections.abc import Sequence
from random import Random

from db.accounts import accounts
from ops.hostile.clients import Client, done
from ops.hostile.people import (
    ask_for_code,
    sign_in,
    sign_in_by_mail,
    until_signed_in,
    with_password,
)
from ops.hostile.scene import Scene, at_once, wait_for_window
from ops.hostile.sessions import refresh
from ops.hostile.table import attack

MAILBOXES = 1000
OF_AN_ATTACKER = 10
"""Mailboxes that are guessed from one address."""
OWNERS = 5
"""So many of the owners come meanwhile."""
GUESSES = 30
"""Wrong codes of an address in an hour, and guesses of a mailbox: six codes, five tries each."""

TRIES = """
    select sum(c.tries) as n from mailed_codes c join buyers b on b.id = c.account_id
    where b.email = %s"""


def guess_codes(client: Client, mailboxes: Sequence[str]) -> tuple[int, list[str]]:
    """Ask for a code of each mailbox and guess it, a seventh time, too; how many guesses were
    checked, and the mailboxes that were entered."""
    checked, entered, digits = 0, list[str](), Random(client.address)
    for email in mailboxes:
        secret = ask_for_code(client, email).json().get("request", "x" * 43)
        for _ in range(7):
            body = {"code": f"{digits.randrange(10**6):06}", "request": secret}
            status = client.post("/v1/tokens", body).status_code
            checked += status in (201, 401)
            entered += [email] if status == 201 else []
    return checked, entered


@attack("guessing", "mailboxes entered, addresses that guess more, owners who are kept out", 0)
def codes_of_many_mailboxes_are_guessed(scene: Scene) -> list[str]:
    """A hundred addresses ask for codes of a thousand mailboxes and guess them, seven times each.
    Some of the owners come meanwhile: by a session, by password and by a code."""
    wait_for_window(90, 3600)
    owners = [with_password(scene) for _ in range(OWNERS)]
    tokens = [sign_in(scene.client(), email).json()["refresh_token"] for email in owners]
    others = [f"box-{n}-{scene.address()}@example.org" for n in range(MAILBOXES - OWNERS)]
    for email in others:
        accounts.find_or_add(scene.conn, email, "Alice")
    every = [*owners, *others]
    mallories = [
        (scene.client(), every[n : n + OF_AN_ATTACKER])
        for n in range(0, len(every), OF_AN_ATTACKER)
    ]
    results = at_once(lambda one: guess_codes(*one), mallories, threads=8)
    wrong = [f"{email} was entered" for _, entered in results for email in entered]
    wrong += [f"{checked} guesses of an address" for checked, _ in results if checked > GUESSES]
    for email, token in zip(owners, tokens, strict=True):
        done(refresh(scene.client(), token))
        until_signed_in(scene.client(), email)
        sign_in_by_mail(scene, email)
    return wrong


@attack("guessing", "guesses of a mailbox's codes that are checked in an hour", GUESSES)
def a_code_is_guessed_from_many_addresses(scene: Scene) -> float:
    """Ten addresses ask for codes of one mailbox, three times each, and guess; meanwhile the owner
    signs in by password."""
    wait_for_window(30, 3600)
    email = with_password(scene)
    for _ in range(10):
        checked, entered = guess_codes(scene.client(), [email] * 3)
        if entered:
            raise AssertionError(f"{email} was entered after {checked} guesses")
    until_signed_in(scene.client(), email)
    return scene.count(TRIES, email)


@attack("guessing", "ways to use a code that was asked for elsewhere", 0)
def a_code_is_read_over_a_shoulder(scene: Scene) -> list[str]:
    """The attacker reads the code of the owner's mail, and sends it without the secret of the
    owner's request, with that of another one, and on the page of the link; then the owner does."""
    email, owner, mallory = with_password(scene), scene.client(), scene.client()
    secret = done(ask_for_code(owner, email), 202).json()["request"]
    code = scene.mailed(email, "sign_in")
    another = done(ask_for_code(mallory, email), 202).json()["request"]
    good = list[str]()
    for given in ({}, {"request": ""}, {"request": another}, {"request": secret[:-1]}):
        if mallory.post("/v1/tokens", {"code": code} | given).ok:
            good.append(f"with {sorted(given)}")
    headers = {"Origin": scene.stack.public_url}
    for cookie in ({}, {"Cookie": f"__Host-usher-code={another}"}):
        if mallory.ask("POST", "/sign-in", data={"code": code}, headers=headers | cookie).ok:
            good.append(f"by the page with {sorted(cookie)}")
    done(owner.post("/v1/tokens", {"code": code, "request": secret}))
    return good
