"""Attacks on sessions: one is planted in another person's browser or account, or a refresh token is
copied."""

import time
import uuid
from functools import partial
from http.cookies import SimpleCookie

import requests

from ops.hostile.clients import Client, done
from ops.hostile.people import (
    PASSWORD,
    ask_for_code,
    sign_in,
    sign_in_by_mail,
    with_password,
)
from ops.hostile.scene import Scene, at_once
from ops.hostile.table import attack

SESSION, REQUEST = "__Host-usher", "__Host-usher-code"
SAME_ANSWER_S = 30.0
ENDED_WITHIN_S = 11.0
"""Processes read every ten seconds which sessions have ended."""


class Browser:
    """A browser, and the cookies that it has or that were planted in it. On its pages' requests are
    their Origin and X-CSRF-Token, as scripts of the pages send them."""

    def __init__(self, client: Client, origin: str) -> None:
        self.client, self.origin = client, origin
        self.cookies, self.csrf = dict[str, str](), ""

    def get(self, path: str) -> requests.Response:
        """What the browser gets, before it follows it elsewhere."""
        return self._ask("GET", path, {}, allow_redirects=False)

    def post(self, path: str, **more: object) -> requests.Response:
        """A request of a page: with `json`, or with `data` of a form."""
        return self._ask("POST", path, {"Origin": self.origin}, **more)

    def whose(self) -> int:
        """The account that the browser is signed in to; 0: none."""
        answer = self._ask("GET", "/v1/me", {})
        return int(answer.json()["id"]) if answer.ok else 0

    def _ask(
        self, method: str, path: str, headers: dict[str, str], **more: object
    ) -> requests.Response:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers |= {"Cookie": sent, "X-CSRF-Token": self.csrf}
        answer = self.client.ask(method, path, headers=headers, **more)
        for header in answer.raw.headers.getlist("Set-Cookie"):
            self.cookies |= {name: one.value for name, one in SimpleCookie(header).items()}
        self.client.http.cookies.clear()
        return answer

    def sign_in(self, **given: str) -> requests.Response:
        answer = self.post("/v1/tokens", json={"carrier": "cookie"} | given)
        if answer.status_code == 201:
            self.csrf = answer.json()["csrf_token"]
        return answer


def browser(scene: Scene) -> Browser:
    return Browser(scene.client(), scene.stack.public_url)


def account_of(scene: Scene, email: str) -> int:
    return scene.count("select id as n from buyers where email = %s", email)


@attack("fixation", "ways in which a planted session opens another person's account", 0)
def a_session_is_planted_in_a_browser(scene: Scene) -> list[str]:
    """The cookies of the attacker's session, and of the attacker's request for a code, are in the
    browser in which the owner signs in, by password and by the mailed code."""
    wrong, owner, own = list[str](), with_password(scene), with_password(scene)
    victim, mallory = browser(scene), browser(scene)
    done(mallory.sign_in(email=own, password=PASSWORD))
    victim.cookies, victim.csrf = dict(mallory.cookies), mallory.csrf
    done(victim.sign_in(email=owner, password=PASSWORD))
    if victim.cookies[SESSION] == mallory.cookies[SESSION]:
        wrong.append("the planted cookie stays after the sign-in by password")
    done(mallory.sign_in(email=owner), 202)
    victim.cookies = {REQUEST: mallory.cookies[REQUEST]}
    code = scene.mailed(owner, "sign_in")
    done(victim.post("/sign-in", data={"code": code}), 200)
    if mallory.sign_in(code=code).status_code != 401:
        wrong.append("the code is good for the attacker, too, after the owner has used it")
    whose = {"owner": victim.whose(), "attacker": mallory.whose()}
    wanted = {"owner": account_of(scene, owner), "attacker": account_of(scene, own)}
    return wrong + [f"the {who} is in {whose[who]}" for who in whose if whose[who] != wanted[who]]


@attack("fixation", "sign-ins that another site's page began in a browser", 0)
def another_site_signs_a_browser_in(scene: Scene) -> list[str]:
    """A page of another site sends the attacker's password and code by the browser of a visitor,
    who would then shop in the attacker's account."""
    own, victim, wrong = with_password(scene), browser(scene), list[str]()
    for origin in ("https://evil.example", "null", "", f"{victim.origin}.evil.example"):
        victim.origin = origin
        asked = ask_for_code(scene.client(), own)
        victim.cookies[REQUEST] = asked.json()["request"]
        code = scene.mailed(own, "sign_in")
        answers = [
            victim.sign_in(email=own, password=PASSWORD),
            victim.sign_in(code=code),
            victim.post("/sign-in", data={"code": code}),
        ]
        wrong += [f"{origin!r}: {a.request.path_url} {a.status_code}" for a in answers if a.ok]
        if victim.whose():
            wrong.append(f"{origin!r}: the browser is signed in")
    return wrong


@attack("fixation", "ways in which who made an account stays in it", 0, slow=True)
def an_account_is_made_before_its_owner_comes(scene: Scene) -> list[str]:
    """The attacker makes an account with the owner's address and a password, and keeps its session;
    the owner comes later, by a mailed code."""
    email, mallory = f"{uuid.uuid4()}@example.org", scene.client()
    body = {"email": email, "name": "Alice", "password": PASSWORD}
    made = done(mallory.post("/v1/accounts", body)).json()
    mallory.token = made["token"]
    owner = sign_in_by_mail(scene, email)
    time.sleep(ENDED_WITHIN_S)
    ways = {
        "its token": mallory.get("/v1/me"),
        "its refresh token": refresh(mallory, made["refresh_token"]),
        "its password": sign_in(scene.client(), email),
    }
    done(owner.get("/v1/me"), 200)
    return [f"{way}: {answer.status_code}" for way, answer in ways.items() if answer.ok]


def refresh(client: Client, token: str) -> requests.Response:
    return client.post("/v1/tokens/refresh", {"refresh_token": token})


@attack("refresh", "answers to one refresh token that differ from the first", 0)
def a_refresh_token_is_used_by_many_at_once(scene: Scene) -> list[str]:
    """Twenty-four clients use the same refresh token at once, three times;
    each time the owner goes on with the new one."""
    email, different = with_password(scene), list[str]()
    clients = [scene.client() for _ in range(24)]
    token = sign_in(clients[0], email).json()["refresh_token"]
    for _ in range(3):
        answers = at_once(partial(refresh, token=token), clients, threads=24)
        first, *others = [f"{answer.status_code} {answer.text}" for answer in answers]
        different += [other for other in others if other != first]
        token = done(answers[0]).json()["refresh_token"]
    return different


@attack("refresh", "tokens that are good after a copied refresh token was used late", 0, slow=True)
def a_copied_refresh_token_is_used_later(scene: Scene) -> list[str]:
    """A refresh token was copied; the owner uses it, and the copy is used when the same answer is
    no longer given, once before the owner comes again, and once after that."""
    good, copies = list[str](), list[tuple[Client, str, str]]()
    for further in (0, 1):
        owner, email = scene.client(), with_password(scene)
        copied = sign_in(owner, email).json()["refresh_token"]
        fresh = done(refresh(owner, copied)).json()
        for _ in range(further):
            fresh = done(refresh(owner, fresh["refresh_token"])).json()
        owner.token = fresh["token"]
        copies.append((owner, copied, fresh["refresh_token"]))
    time.sleep(SAME_ANSWER_S + 1)
    for _, copied, latest in copies:
        mallory = scene.client()
        good += [
            f"the {w}" for w, t in (("copy", copied), ("latest", latest)) if refresh(mallory, t).ok
        ]
    time.sleep(ENDED_WITHIN_S)
    good += ["an access token" for owner, _, _ in copies if owner.get("/v1/me").ok]
    for owner, _, _ in copies:
        owner.token = ""
    return good
