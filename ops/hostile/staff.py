"""Attacks on those who work for an organisation: second factors, keys of servers, sealed secrets,
invitations."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

import requests

from db.accounts.api_keys import PREFIX
from ops.hostile.clients import Client, Json, Refused, done
from ops.hostile.merchants import Merchant
from ops.hostile.people import (
    MEMBERSHIPS,
    CodeApp,
    give_factor,
    invite,
    member,
    set_up_factor,
    sign_in_by_mail,
)
from ops.hostile.scene import Scene, at_once
from ops.hostile.table import attack

FACTOR_TRIES = 10
"""Codes of an app that may be tried in a quarter of an hour."""
KEYS = 300
UNASKED_S = 5.0
"""So long the gateway is not asked with a key that does not open, or is another account's."""
READ_AGAIN_S = 11.0
"""Processes keep an account's secrets for ten seconds."""


@attack(
    "guessing", "codes of a second factor that are checked in a quarter of an hour", FACTOR_TRIES
)
def a_second_factor_is_guessed(scene: Scene) -> float:
    """The attacker has another session of an owner, and guesses codes of the app and recovery codes
    at once from eight addresses; the owner's own session works on."""
    owner = member(scene, "owner")
    set_up_factor(owner)
    stolen = [scene.client() for _ in range(8)]
    token = sign_in_by_mail(scene, owner.email).token
    for client in stolen:
        client.token = token
    guesses = [f"{n:06}" if n % 4 else token_urlsafe(8) for n in range(80)]
    statuses = at_once(
        lambda n: give_factor(stolen[n % 8], guesses[n]).status_code, range(80), threads=8
    )
    if 200 in statuses or stolen[0].get("/v1/venues").status_code != 403:
        raise AssertionError(f"the stolen session is confirmed: {sorted(set(statuses))}")
    done(owner.get("/v1/venues"), 200)
    return statuses.count(422)


def made_key(scene: Scene, **wanted: object) -> Json:
    """A new key of the scene's organisation, as the API tells it."""
    body = {"name": "Shop", "role": "organiser"} | wanted
    path = f"{scene.path}/api-keys"
    answer: Json = done(scene.server().post(path, body, key=str(uuid.uuid4()))).json()
    return answer


def use_key(scene: Scene, key: str) -> requests.Response:
    client = scene.client()
    client.token = key
    return client.get("/v1/venues")


def like(key: str) -> Iterator[str]:
    """What looks like a key of which the attacker has seen some of the letters."""
    yield from (key[:-1], key + "A", key.swapcase(), key[: len(key) // 2], PREFIX, f"{PREFIX}%")
    yield from (key.removeprefix(PREFIX), f"{key},{key}", f"{key}%00", key[::-1])
    shown = key[: len(PREFIX) + 8]
    yield from (shown + token_urlsafe(32)[: len(key) - len(shown)] for _ in range(KEYS))


@attack("keys", "guessed keys that are not answered 401", 0)
def an_api_key_is_guessed(scene: Scene) -> list[str]:
    """Keys are guessed whose beginning is known, since lists show it; the server that has the key
    is served meanwhile, and its key is not counted as used by guesses."""
    key = made_key(scene)
    statuses = at_once(
        lambda guess: (use_key(scene, guess).status_code, guess), like(key["key"]), threads=4
    )
    used = done(scene.server().get(f"{scene.path}/api-keys/{key['id']}"), 200).json()["used_at"]
    done(use_key(scene, key["key"]), 200)
    wrong = [f"{guess[:20]}: {status}" for status, guess in statuses if status != 401]
    return wrong + ([f"used at {used}"] if used else [])


@attack("keys", "keys that open what they should not", 0)
def keys_are_used_after_their_end_or_elsewhere(scene: Scene) -> list[str]:
    """Keys that were revoked, rotated, have expired, are used from an address that is not theirs,
    or for another organisation, or for what is dangerous without the scope."""
    path, server = f"{scene.path}/api-keys", scene.server()
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    revoked, rotated, expired = made_key(scene), made_key(scene), made_key(scene, expires_at=soon)
    elsewhere = made_key(scene, networks=["203.0.113.0/24"])
    opened = {key["key"]: use_key(scene, key["key"]) for key in (revoked, rotated, expired)}
    for answer in opened.values():
        done(answer, 200)
    done(server.delete(f"{path}/{revoked['id']}"), 204)
    rotation = f"{path}/{rotated['id']}/rotation"
    done(server.post(rotation, {"overlap_seconds": 0}, key=str(uuid.uuid4())))
    time.sleep(2)
    tried = {"revoked": revoked, "rotated": rotated, "expired": expired, "elsewhere": elsewhere}
    wrong = [name for name, key in tried.items() if use_key(scene, key["key"]).ok]
    weak, other = scene.client(), scene.of_another_organisation()
    weak.token = made_key(scene)["key"]
    if weak.post(path, {"name": "More", "role": "organiser"}, key=str(uuid.uuid4())).ok:
        wrong.append("one without the scope makes keys")
    theirs = [other.path, f"{other.path}/api-keys", f"{other.path}/members"]
    return wrong + [one for one in theirs if server.get(one).ok]


@attack("invitations", "ways in which another mailbox uses an invitation", 0)
def an_invitation_is_used_by_another_mailbox(scene: Scene) -> list[str]:
    """The link of an owner's invitation is forwarded: a person with another mailbox uses it, and so
    does who has made an account with the invited address and cannot read its mail. Then it is
    accepted by who was invited."""
    email, good = f"invited-{uuid.uuid4()}@example.org", list[str]()
    made_before = scene.guest(email=email)
    code = invite(scene, email, "owner")
    other = sign_in_by_mail(scene, scene.guest().email)
    tries: dict[str, Callable[[], requests.Response]] = {
        "another mailbox": lambda: other.post(MEMBERSHIPS, {"code": code}),
        "who cannot read its mail": lambda: made_before.post(MEMBERSHIPS, {"code": code}),
        "an empty code": lambda: other.post(MEMBERSHIPS, {"code": ""}),
        "its code backwards": lambda: other.post(MEMBERSHIPS, {"code": code[::-1]}),
    }
    for _ in range(3):
        done(scene.client().get(f"/invitation?code={code}"), 200)
        good += [who for who, act in tries.items() if act().ok]
    good += [f"{c.email} is a member" for c in (other, made_before) if c.get(MEMBERSHIPS).json()]
    invited = sign_in_by_mail(scene, email)
    done(invited.post(MEMBERSHIPS, {"code": code}))
    again = invited.post(MEMBERSHIPS, {"code": code})
    return good + (["it is accepted twice"] if again.ok else [])


@contextmanager
def swapped(scene: Scene, *places: tuple[str, str]) -> Iterator[None]:
    """Each of these rows, by purpose and owner, has the sealed secret of the one before it."""
    read = "select sealed from sealed_secrets where purpose = %s and owner = %s"
    write = "update sealed_secrets set sealed = %s where purpose = %s and owner = %s"
    rows = [scene.conn.execute(read, place).fetchone() for place in places]
    texts = [row["sealed"] for row in rows if row]
    if len(texts) < len(places):
        raise Refused(f"of {places} only {len(texts)} are sealed")
    for text, place in zip([texts[-1], *texts[:-1]], places, strict=True):
        scene.conn.execute(write, (text, *place))
    try:
        yield
    finally:
        for text, place in zip(texts, places, strict=True):
            scene.conn.execute(write, (text, *place))


def what_opens(people: list[Client], apps: list[CodeApp], merchants: list[Merchant]) -> list[str]:
    """What is believed while the rows have secrets of each other."""
    opened = [
        f"seed of {person.id}"
        for person in people
        for app in apps
        if give_factor(person, app.present_code()).ok
    ]
    return opened + [
        f"signing secret of {one.account}"
        for one in merchants
        if any(one.notify(other.secret, people[0]) == 200 for other in merchants)
    ]


@attack("secrets", "sealed secrets that open in another row", 0, slow=True)
def sealed_secrets_are_swapped_between_rows(scene: Scene) -> list[str]:
    """Who can write to the database, and has no key, moves sealed secrets between rows: seeds of
    two owners, signing secrets and keys of two merchants; then signing secrets to where seeds are.
    Each is refused in its new row, and good again in its own."""
    people = [member(scene, "owner") for _ in range(2)]
    apps = [set_up_factor(person) for person in people]
    merchants = [one for _ in range(2) if (one := scene.of_another_organisation().merchant)]
    seeds = [("totp_seed", str(person.id)) for person in people]
    signers = [("stripe_webhook_secret", str(one.account)) for one in merchants]
    keys = [("stripe_key", str(one.account)) for one in merchants]
    with swapped(scene, *seeds), swapped(scene, *signers), swapped(scene, *keys):
        time.sleep(READ_AGAIN_S)
        opened = what_opens(people, apps, merchants)
        opened += [f"key of {one.account}" for one in merchants if one.check(UNASKED_S)]
    crossed = [place for pair in zip(seeds, signers, strict=True) for place in pair]
    with swapped(scene, *crossed):
        time.sleep(READ_AGAIN_S)
        opened += what_opens(people, apps, merchants)
    time.sleep(READ_AGAIN_S)
    for person, app in zip(people, apps, strict=True):
        done(give_factor(person, app.present_code()), 200)
    if wrong := [one.path for one in merchants if one.notify(one.secret, people[0]) != 200]:
        raise Refused(f"the secrets in their own rows are not believed: {wrong}")
    if wrong := [one.path for one in merchants if not one.check() or one.told()["refusal"]]:
        raise Refused(f"the keys in their own rows are not used: {wrong}")
    return opened
