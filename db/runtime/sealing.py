"""Secrets that Usher keeps for others, sealed with ENCRYPTION_KEYS (AES-256 in GCM).

Sealed, a secret is `<id of the key>.<nonce and ciphertext>`, the second part in base64 for URLs.
Its place (organisation, purpose, row) is the associated data: moved to another row, it does not
open. The first key seals and all of them open, so that keys can be changed while both are known
(`python -m ops.console secrets reseal`).

Two functions open. `open_sealed` gives what acts for its owner: tasks and the console call it, and
a test refuses it in `web/`. `open_to_verify` gives what a request is checked with.
"""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from typing import Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db.runtime.errors import Conflict, UsherError
from db.runtime.settings import settings

Purpose = Literal["stripe_key", "stripe_webhook_secret", "totp_seed", "oidc_client_secret"]

VERIFIES: frozenset[Purpose] = frozenset(
    {"stripe_webhook_secret", "totp_seed", "oidc_client_secret"}
)
"""Purposes for which a request is checked with the secret, which can do nothing else: an identity
provider's client secret asks who has signed in, while the person waits."""

NONCE = 12
"""Bytes; random, so one key must not seal more than 2^32 secrets."""


class Place(NamedTuple):
    """Where a secret belongs. owner: the id of the row to which it belongs, as the purpose says.
    organisation_id None: to a person, or to the platform."""

    purpose: Purpose
    owner: str
    organisation_id: int | None = None


class Sealed(NamedTuple):
    """A secret as it is stored."""

    place: Place
    text: str

    @property
    def key_id(self) -> str:
        """The id of the key that has sealed it."""
        return self.text.partition(".")[0]


class CannotOpen(UsherError):
    """The secret was sealed with a key that ENCRYPTION_KEYS does not have, or for another place."""


def seal(place: Place, secret: str) -> Sealed:
    """Seal with the first of ENCRYPTION_KEYS. Errors: Conflict when there is none."""
    key_id = sealing_key_id()
    nonce = os.urandom(NONCE)
    encrypted = nonce + _cipher(key_id).encrypt(nonce, secret.encode(), _associated(place))
    return Sealed(place, f"{key_id}.{urlsafe_b64encode(encrypted).decode()}")


def open_sealed(sealed: Sealed) -> str:
    """A secret of any purpose: for tasks and the console. Errors: CannotOpen."""
    return _open(sealed)


def open_to_verify(sealed: Sealed) -> str:
    """A secret with which a request is checked. Errors: CannotOpen."""
    if sealed.place.purpose not in VERIFIES:
        raise ValueError(f"no request is checked with a {sealed.place.purpose}")
    return _open(sealed)


def sealing_key_id() -> str:
    """The id of the key that seals. Errors: Conflict when ENCRYPTION_KEYS is not set."""
    for key_id in settings().sealing_keys:
        return key_id
    raise Conflict(
        "Nothing can be sealed here until the setting ENCRYPTION_KEYS has a key.",
        "no_encryption_keys",
    )


def make_key(key_id: str) -> str:
    """A new key, as ENCRYPTION_KEYS has it."""
    return f"{key_id}:{urlsafe_b64encode(os.urandom(32)).decode()}"


def _open(sealed: Sealed) -> str:
    key_id, _, encrypted = sealed.text.partition(".")
    where = {"purpose": sealed.place.purpose, "owner": sealed.place.owner, "key_id": key_id}
    if key_id not in settings().sealing_keys:
        raise CannotOpen(f"ENCRYPTION_KEYS has no key {key_id!r}", **where)
    whole = urlsafe_b64decode(encrypted)
    try:
        opened = _cipher(key_id).decrypt(whole[:NONCE], whole[NONCE:], _associated(sealed.place))
    except InvalidTag:
        raise CannotOpen("the secret does not belong to this place", **where) from None
    return opened.decode()


def _associated(place: Place) -> bytes:
    return json.dumps(["usher", place.organisation_id, place.purpose, place.owner]).encode()


def _cipher(key_id: str) -> AESGCM:
    return _cipher_of(settings().sealing_keys[key_id])


@cache
def _cipher_of(key: bytes) -> AESGCM:
    return AESGCM(key)
