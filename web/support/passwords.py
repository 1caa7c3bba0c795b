"""Passwords: what may be one, and how they are hashed without taking the whole process."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from marshmallow import ValidationError, fields, validate

from db.runtime.errors import Busy
from web.support.client_address import client

hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""What OWASP asks for at least: a quarter of the library's default, so that a flood of wrong
passwords takes a quarter of the time."""
UNKNOWN_HASH = hasher.hash(secrets.token_bytes())
"""A hash that is checked when an account has no password, so that the answer takes as long."""


@dataclass(frozen=True)
class HashLane:
    """Passwords that are hashed one at a time: each takes some hundredths of a second and 19 MiB.
    Of the process's threads so many may wait for it, or make one: the others do other work."""

    places: BoundedSemaphore
    hashing: Lock = field(default_factory=Lock)


SIGN_INS = HashLane(BoundedSemaphore(3))
OTHERS = HashLane(BoundedSemaphore(2))
"""New accounts, and sign-ins from addresses that have sent wrong passwords: a flood of these, from
however many addresses, leaves the other lane to those who sign in."""
FROM_AN_ADDRESS = 2
"""So many of one address may wait or hash, one of them hashes: it cannot take all places."""
PATIENCE = 3.0  # seconds


@dataclass
class Visitors:
    """Those of one address who wait for a hash, or make one."""

    places: int = 0
    hashing: Lock = field(default_factory=Lock)


visitors: dict[str, Visitors] = {}
counting = Lock()


@contextmanager
def hashing(address: str, lane: HashLane) -> Iterator[None]:
    """Wait until a password may be hashed. Errors: Busy."""
    give_up_at = monotonic() + PATIENCE
    with taking_place(address, lane) as own, ExitStack() as taken:
        for wanted in (own, lane.hashing):
            if not wanted.acquire(timeout=max(give_up_at - monotonic(), 0)):
                raise Busy("Too many are signing in: try again shortly.")
            taken.callback(wanted.release)
        yield


@contextmanager
def taking_place(address: str, lane: HashLane) -> Iterator[Lock]:
    """Take one of the lane's few places; yields the lock of the address. Errors: Busy."""
    with counting:
        own = visitors.setdefault(address, Visitors())
        if own.places >= FROM_AN_ADDRESS or not lane.places.acquire(blocking=False):
            raise Busy("Too many are signing in: try again shortly.")
        own.places += 1
    try:
        yield own.hashing
    finally:
        with counting:
            own.places -= 1
            if not own.places:
                del visitors[address]
        lane.places.release()


def hash_password(password: str) -> str:
    """Errors: Busy."""
    with hashing(client(), OTHERS):
        return hasher.hash(password)


def is_password(password: str, known: str | None, lane: HashLane) -> bool:
    """Whether it is the password of this hash; None: there is none, which takes as long. Errors:
    Busy."""
    try:
        with hashing(client(), lane):
            hasher.verify(known or UNKNOWN_HASH, password)
    except (Argon2Error, InvalidHashError):
        return False
    return known is not None


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("Must not contain lone surrogates.") from None


class Password(fields.String):
    """A password; unlike other text it is not trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(8, 200, error="Must have 8 to 200 characters.")
        super().__init__(validate=[length, _check_text], **kwargs)
