"""Attacks on signing in at an organisation's identity provider (OpenID Connect): the provider lies,
or a sign-in is used by another browser."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from ops.hostile.clients import done
from ops.hostile.people import invite
from ops.hostile.scene import Scene
from ops.hostile.sessions import Browser, browser
from ops.hostile.table import attack
from ops.sandbox.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider

BEGUN = "__Host-usher-oidc"
ACTS_OF_THE_ACCOUNT = (
    "/v1/me",
    "/v1/me/bookings",
    "/v1/me/personal-data",
    "/v1/me/second-factor",
    "/v1/me/passkeys",
)


@dataclass(frozen=True)
class Organisation:
    """An organisation, and the provider at which its members sign in."""

    scene: Scene
    provider: IdentityProvider

    @property
    def id(self) -> int:
        return int(self.scene.path.rpartition("/")[2])

    @property
    def sign_in(self) -> str:
        return f"/sign-in/oidc/{self.id}"

    def configure(self, provider: IdentityProvider) -> "Organisation":
        """The organisation with another provider. Errors: Refused."""
        body = {
            "issuer": provider.issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "factor_amr": ["mfa"],
        }
        path = f"{self.scene.path}/identity-provider"
        done(self.scene.server().ask("PUT", path, json=body), 200)
        return Organisation(self.scene, provider)

    def invite(self, email: str, role: str) -> str:
        return invite(self.scene, email, role)

    def begin(self, of: Browser, invitation: str = "") -> str:
        """Where the browser is sent to sign in. Errors: Refused."""
        query = f"?invitation={invitation}" if invitation else ""
        return done(of.get(self.sign_in + query), 302).headers["Location"]

    def enter(
        self, of: Browser, subject: str, invitation: str = "", **claims: Any
    ) -> requests.Response:
        """Sign in, as the provider says it. Errors: Refused."""
        return of.get(self.provider.log_in(self.begin(of, invitation), subject, **claims))


@contextmanager
def organisations(scene: Scene, count: int) -> Iterator[list[Organisation]]:
    """New organisations, each with a provider of its own."""
    if not count:
        yield []
        return
    with identity_provider() as provider, organisations(scene, count - 1) as others:
        made = Organisation(scene.of_another_organisation(), provider).configure(provider)
        yield [made, *others]


@dataclass(frozen=True)
class Owner:
    """An owner that a provider knows, and what it says of the person."""

    subject: str
    said: dict[str, Any]
    browser: Browser


def owner_of(organisation: Organisation) -> Owner:
    """An owner who has accepted by the organisation's provider. Errors: Refused."""
    email, subject = f"owner-{uuid.uuid4()}@example.org", str(uuid.uuid4())
    said = {"email": email, "email_verified": True, "amr": ["mfa"]}
    own = browser(organisation.scene)
    code = organisation.invite(email, "owner")
    done(organisation.enter(own, subject, code, **said), 200)
    return Owner(subject, said, own)


def opened(of: Browser) -> set[int]:
    """The organisations that a browser's session opens."""
    answer = of.get("/v1/me/memberships")
    return {each["organisation_id"] for each in answer.json()} if answer.ok else set()


def works(of: Browser, organisation: Organisation) -> bool:
    """Whether a browser reads what owners of an organisation read."""
    return opened(of) == {organisation.id} and of.get(f"{organisation.scene.path}/members").ok


Try = Callable[[Browser], object]


def opening(scene: Scene, tries: dict[str, Try]) -> list[str]:
    """Those of the tries after which a browser has a session, whatever that opens."""
    found = []
    for name, act in tries.items():
        own = browser(scene)
        act(own)
        if own.get("/v1/me/session").ok:
            found.append(f"{name}: a session for {sorted(opened(own))}")
    return found


@attack("oidc", "ways in which a provider opens another organisation", 0)
def a_provider_names_another_organisations_owner(scene: Scene) -> list[str]:
    """An organisation's provider says subject, issuer and proven address of the owner of another
    one: in its own sign-ins, as an answer to the other's, and with the other's issuer as its own.
    Then that owner is invited by it, and the session that the provider opens is tried elsewhere."""
    with organisations(scene, 2) as (victim, mallory):
        owner = owner_of(victim)
        subject, said, evil = owner.subject, owner.said, mallory.provider
        issuer = {"iss": victim.provider.issuer}
        tries: dict[str, Try] = {
            "its subject": lambda own: mallory.enter(own, subject, **said),
            "its address": lambda own: mallory.enter(own, said["email"], **said),
            "its issuer": lambda own: mallory.enter(own, subject, **said, **issuer),
            "at its address": lambda own: own.get(
                evil.log_in(mallory.begin(own), subject, **said).replace(
                    mallory.sign_in, victim.sign_in
                )
            ),
            "as its answer": lambda own: own.get(evil.log_in(victim.begin(own), subject, **said)),
        }
        wrong = opening(scene, tries)
        evil.document = issuer = {"issuer": victim.provider.issuer}
        wrong += opening(scene, {"its document": lambda own: own.get(mallory.sign_in)})
        evil.document = {}
        shared = mallory.configure(victim.provider)
        wrong += opening(scene, {"the same": lambda own: shared.enter(own, subject, **said)})
        mallory.configure(evil)
        wrong += what_an_invited_owner_opens(mallory, victim, owner)
        return wrong if works(owner.browser, victim) else [*wrong, "the owner is shut out"]


def what_an_invited_owner_opens(
    mallory: Organisation, victim: Organisation, owner: Owner
) -> list[str]:
    """The other organisation has invited the owner, who has accepted: its provider is the owner
    there, and nowhere else."""
    own = browser(mallory.scene)
    code = mallory.invite(owner.said["email"], "analyst")
    done(mallory.enter(own, owner.subject, code, **owner.said), 200)
    paths = [victim.scene.path, f"{victim.scene.path}/members", *ACTS_OF_THE_ACCOUNT]
    wrong = [f"invited: {path}" for path in paths if own.get(path).ok]
    return wrong + [f"invited: {one}" for one in opened(own) - {mallory.id}]


@attack("oidc", "subjects of a provider before that sign in by another one", 0)
def a_subject_is_used_again_by_another_provider(scene: Scene) -> list[str]:
    """The organisation has another provider, which gives the owner's subject to another person;
    it also says the issuer of the one before. That one's sign-ins that are under way end."""
    with organisations(scene, 1) as (victim,), identity_provider() as other:
        owner, late = owner_of(victim), browser(scene)
        sent_to = victim.begin(late)
        before, after = victim.provider, victim.configure(other)
        said = owner.said | {"email": f"other-{uuid.uuid4()}@example.org"}
        tries: dict[str, Try] = {
            "its subject": lambda own: after.enter(own, owner.subject, **said),
            "its subject and address": lambda own: after.enter(own, owner.subject, **owner.said),
            "its issuer, too": lambda own: after.enter(own, owner.subject, iss=before.issuer),
        }
        wrong = opening(scene, tries)
        late.get(before.log_in(sent_to, owner.subject, **owner.said))
        return [*wrong, "one that was begun before"] if late.get("/v1/me/session").ok else wrong


@attack("oidc", "invitations that an address opens which was never proven", 0)
def an_address_that_was_not_proven_accepts_an_invitation(scene: Scene) -> list[str]:
    """A stranger has made an account with the address that is invited, and the provider has not
    proven that it is this person's. Then it has, and what the stranger set up is over."""
    with organisations(scene, 1) as (victim,):
        email = f"invited-{uuid.uuid4()}@example.org"
        stranger, code = scene.guest(email=email), victim.invite(email, "owner")
        unproven: dict[str, dict[str, Any]] = {
            "no address": {},
            "not said": {"email": email},
            "false": {"email": email, "email_verified": False},
            "a word": {"email": email, "email_verified": "true"},
            "a number": {"email": email, "email_verified": 1},
            "another one": {"email": f"x{email}", "email_verified": True},
            "several": {"email": [email], "email_verified": True},
        }
        wrong = opening(
            scene,
            {
                name: lambda own, claims=claims: victim.enter(own, "mallory", code, **claims)  # type: ignore[misc]
                for name, claims in unproven.items()
            },
        )
        if stranger.get("/v1/me/memberships").json():
            wrong.append("the stranger is a member")
        if wrong:
            return wrong
        own = browser(scene)
        said = {"email": email, "email_verified": True, "amr": ["mfa"]}
        done(victim.enter(own, "owner", code, **said), 200)
        return wrong if works(own, victim) else [*wrong, "the owner does not get in"]


@attack("oidc", "sign-ins that another browser or another answer finishes", 0)
def a_sign_in_is_replayed(scene: Scene) -> list[str]:
    """The owner's answer (state, code) comes in other browsers: without its cookie, with that of a
    sign-in of their own, twice in its own; the token is that of another sign-in (nonce); and an
    attacker's answer is given to the owner's browser."""
    with organisations(scene, 2) as (victim, other):
        owner, provider = owner_of(victim), victim.provider
        done(victim.enter(own := browser(scene), owner.subject, **owner.said), 200)
        wrong = [] if works(own, victim) else ["the owner does not get in"]

        def answer(of: Browser, **claims: Any) -> str:
            return provider.log_in(victim.begin(of), owner.subject, **owner.said, **claims)

        first = answer(browser(scene))

        def with_own_begun(own: Browser) -> None:
            victim.begin(own)
            own.get(first)

        def with_anothers_begun(own: Browser) -> None:
            own.get(answer(browser(scene)).replace(f"/{victim.id}/", f"/{other.id}/"))
            other.begin(own)
            own.get(answer(browser(scene)))

        def in_its_own_twice(own: Browser) -> None:
            used, begun = answer(own), dict(own.cookies)
            done(own.get(used), 200)
            own.cookies = begun
            own.get(used)

        tries: dict[str, Try] = {
            "without its cookie": lambda own: own.get(first),
            "with another state": with_own_begun,
            "with another organisation's": with_anothers_begun,
            "with a state that is empty": lambda own: own.get(answer(own).split("&state=")[0]),
            "with another nonce": lambda own: own.get(answer(own, nonce="another")),
            "with no nonce": lambda own: own.get(answer(own, nonce=None)),
            "twice": in_its_own_twice,
        }
        return wrong + opening(scene, tries)
