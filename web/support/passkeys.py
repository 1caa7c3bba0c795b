"""Passkeys (WebAuthn): what a person's device is asked, and what it answers, read by the library.

A challenge is signed, good for five minutes, and goes to who asks: only who brings it back as
`request` can answer it. That an answer counts once, db/accounts/passkeys.py sees to.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from secrets import token_bytes
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import jwt
import structlog
import webauthn
from webauthn.helpers import options_to_json_dict, parse_authentication_credential_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from db.accounts import passkeys
from db.accounts.passkeys import Answered, NewPasskey
from db.connections import autocommit
from db.runtime.errors import Conflict, InvalidRequest
from db.runtime.settings import settings
from web.support.cookies import origin_of
from web.support.signing import sign, verify

GOOD_FOR = timedelta(minutes=5)
MILLISECONDS = int(GOOD_FOR.total_seconds() * 1000)
ANYONE = "anyone"
"""Of whom a passkey is asked that signs in: its device says whose it is."""

Kind = Literal["passkey", "new-passkey"]

log = structlog.get_logger()


class Challenge(NamedTuple):
    """What has to be signed, and the signed form of it that comes back with the answer."""

    content: bytes
    request: str


def host_name() -> str:
    """The name for which passkeys are made and used: that of PUBLIC_URL. Errors: Conflict
    no_host_name: browsers make none for an IP address."""
    host = urlsplit(settings().public_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host
    message = "Passkeys need a host name, and this installation's PUBLIC_URL is an IP address."
    raise Conflict(message, "no_host_name")


def describe_new(account: dict[str, Any], known: list[dict[str, Any]]) -> dict[str, Any]:
    """What a browser makes a passkey from, as {request, public_key}. known: those that the account
    has. Errors: Conflict no_host_name."""
    host = host_name()
    made = _challenge("new-passkey", str(account["id"]))
    options = webauthn.generate_registration_options(
        rp_id=host,
        rp_name=host,
        user_id=_handle(account["id"]),
        user_name=account["email"],
        user_display_name=account["name"],
        challenge=made.content,
        timeout=MILLISECONDS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(row["credential_id"]) for row in known],
    )
    return {"request": made.request, "public_key": options_to_json_dict(options)}


def describe_sign_in() -> dict[str, Any]:
    """What a browser asks a passkey, as {request, public_key}. Errors: Conflict no_host_name."""
    host = host_name()
    made = _challenge("passkey", ANYONE)
    options = webauthn.generate_authentication_options(
        rp_id=host,
        challenge=made.content,
        timeout=MILLISECONDS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return {"request": made.request, "public_key": options_to_json_dict(options)}


def read_new(account_id: int, given: dict[str, Any]) -> tuple[bytes, NewPasskey]:
    """Verify a passkey that an account's device has made; its challenge, and the key. given:
    request, credential, name. Errors: InvalidRequest; Conflict no_host_name."""
    challenge = _read_challenge(given["request"], "new-passkey", str(account_id))
    expected = _expected(challenge)
    with _refusing():
        made = webauthn.verify_registration_response(
            credential=given["credential"], require_user_verification=True, **expected
        )
    key = made.credential_public_key
    return challenge, NewPasskey(made.credential_id, key, made.sign_count, given["name"])


def read_answer(given: dict[str, Any]) -> Answered:
    """Verify what a passkey has answered; whose it is. given: request, credential. Errors:
    InvalidRequest; Conflict no_host_name."""
    challenge = _read_challenge(given["request"], "passkey", ANYONE)
    expected = _expected(challenge)
    with _refusing():
        credential = parse_authentication_credential_json(given["credential"])
    with autocommit() as conn:
        known = passkeys.find_passkey(conn, credential.raw_id)
    with _refusing():
        if known is None or credential.response.user_handle != _handle(known["account_id"]):
            raise LookupError("of no account that may sign in, or of another one")
        proved = webauthn.verify_authentication_response(
            credential=credential,
            credential_public_key=known["public_key"],
            credential_current_sign_count=known["sign_count"],
            require_user_verification=True,
            **expected,
        )
    of = known["id"], known["account_id"], known["token_epoch"]
    return Answered(*of, known["sign_count"], proved.new_sign_count, challenge)


def _expected(challenge: bytes) -> dict[str, Any]:
    """What an answer is about: this challenge, this host and its pages. Errors: Conflict
    no_host_name."""
    return {
        "expected_challenge": challenge,
        "expected_rp_id": host_name(),
        "expected_origin": origin_of(settings().public_url),
    }


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse what the library refuses, and what its parsers stumble over. Errors:
    InvalidRequest."""
    try:
        yield
    except Exception as error:
        log.info("passkey refused", error=repr(error))
        message = "This is no passkey of this site, or not its answer to this request."
        raise InvalidRequest(message, path="credential") from error


def _handle(account_id: int) -> bytes:
    """What a device knows an account by; it gives it back when it signs in."""
    return str(account_id).encode()


def _challenge(kind: Kind, of: str) -> Challenge:
    content = token_bytes(32)
    text = urlsafe_b64encode(content).decode()
    expires_at = datetime.now(UTC) + GOOD_FOR
    return Challenge(content, sign({"sub": of, "c": text, "exp": expires_at}, kind))


def _read_challenge(request: str, kind: Kind, of: str) -> bytes:
    """The challenge of a request. Errors: InvalidRequest: it is too old, of another account, or not
    ours."""
    try:
        claims = verify(request, kind, ["c"])
    except jwt.InvalidTokenError:
        claims = {}
    if claims.get("sub") != of:
        message = "This request is not yours, or is older than five minutes: ask again."
        raise InvalidRequest(message, path="request")
    return urlsafe_b64decode(claims["c"])
