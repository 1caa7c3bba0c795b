"""Passkeys: keys on a person's devices, that sign in and count as a second factor.

What a device has answered is verified in web/support/passkeys.py. Here are the rows, and what makes
an answer count once.
"""

import hashlib
from datetime import datetime
from typing import Any, NamedTuple

from db.accounts import second_factors, sessions
from db.accounts.audit_log import audit
from db.accounts.notices import tell_change
from db.accounts.sessions import OpenSession
from db.connections import Conn, many, maybe
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound, NotSignedIn

sql = load("accounts/passkeys")

MOST = 20
"""Passkeys that an account may have."""


class NewPasskey(NamedTuple):
    """A key that a device has made, as it was verified."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    name: str


class Answered(NamedTuple):
    """A passkey that answered a challenge, as it was verified. before, sign_count: how often the
    device had used it before, and with this answer; epoch: of the account's tokens."""

    id: int
    account_id: int
    epoch: int
    before: int
    sign_count: int
    challenge: bytes


def list_passkeys(conn: Conn, account_id: int) -> list[dict[str, Any]]:
    """A person's passkeys, the oldest first: [{id, name, created_at, used_at, credential_id}]."""
    return many(conn.execute(sql.list_passkeys, {"account_id": account_id}))


def find_passkey(conn: Conn, credential_id: bytes) -> dict[str, Any] | None:
    """A passkey that may sign in, by what its device calls it: {id, account_id, public_key,
    sign_count, token_epoch}."""
    return maybe(conn.execute(sql.find_passkey, {"credential_id": credential_id}))


def add_passkey(
    conn: Conn, account_id: int, session_id: int, challenge: bytes, new: NewPasskey
) -> dict[str, Any]:
    """Add a passkey; return {id, name, created_at, used_at}. session_id: of who asks. Errors:
    NotSignedIn; InvalidRequest; Conflict passkey_exists, too_many_passkeys."""
    _lock(conn, account_id, session_id)
    if not _use_challenge(conn, challenge):
        raise InvalidRequest("This request was answered before.", path="request")
    if len(list_passkeys(conn, account_id)) >= MOST:
        raise Conflict(f"An account has {MOST} passkeys at most.", "too_many_passkeys")
    row = maybe(conn.execute(sql.add_passkey, {"account_id": account_id, **new._asdict()}))
    if row is None:
        raise Conflict("This passkey was added before.", "passkey_exists")
    audit(conn, "passkey added", None, {"passkey_id": row["id"]}, account_id=account_id)
    tell_change(conn, account_id, "passkey_added")
    return row


def open_session(conn: Conn, answered: Answered, name: str, carrier: str) -> OpenSession:
    """Sign a person in; the second factor is given by that. name: of the session. Errors:
    NotSignedIn; InvalidRequest."""
    opened = sessions.open_session(
        conn, answered.account_id, "passkey", name, epoch=answered.epoch, carrier=carrier
    )
    _use(conn, answered)
    second_factors.note_given(conn, answered.account_id, opened["id"])
    return opened


def give_factor(conn: Conn, answered: Answered, session_id: int) -> datetime:
    """Give the second factor in a session; return when. Errors: NotSignedIn; InvalidRequest;
    NotAllowed."""
    _lock(conn, answered.account_id, session_id)
    _use(conn, answered)
    return second_factors.note_given(conn, answered.account_id, session_id)


def name_passkey(conn: Conn, account_id: int, passkey_id: int, name: str) -> dict[str, Any]:
    """Rename a passkey, and return it as add_passkey does. Errors: NotFound."""
    values = {"account_id": account_id, "id": passkey_id, "name": name}
    row = maybe(conn.execute(sql.name_passkey, values))
    if row is None:
        raise NotFound
    return row


def lock_passkey(conn: Conn, account_id: int, session_id: int, passkey_id: int) -> None:
    """Check that a person has a passkey, and lock the account. Errors: NotFound, NotSignedIn."""
    values = {"account_id": account_id, "id": passkey_id}
    if maybe(conn.execute(sql.find_own, values)) is None:
        raise NotFound
    _lock(conn, account_id, session_id)


def remove_passkey(conn: Conn, account_id: int, passkey_id: int) -> None:
    """Remove a passkey that was locked; the second factor has to be given anew in all of the
    person's sessions. Mailed codes still sign in, so the last one can be removed, too."""
    conn.execute(sql.remove_passkey, {"account_id": account_id, "id": passkey_id})
    audit(conn, "passkey removed", None, {"passkey_id": passkey_id}, account_id=account_id)
    tell_change(conn, account_id, "passkey_removed")


def _lock(conn: Conn, account_id: int, session_id: int) -> None:
    """Lock the account of a session before its passkeys and sessions, as all do that end them: so
    what a session adds is there when it is ended, or refused. Errors: NotSignedIn."""
    values = {"account_id": account_id, "session_id": session_id}
    is_open = maybe(conn.execute(sql.lock_account, values)) is not None
    if not is_open or maybe(conn.execute(sql.has_session, values)) is None:
        raise NotSignedIn("This session was ended: sign in again.")


def _use(conn: Conn, answered: Answered) -> None:
    """Errors: InvalidRequest: the answer was used before, or the passkey otherwise since."""
    values = {
        "id": answered.id,
        "account_id": answered.account_id,
        "before": answered.before,
        "sign_count": answered.sign_count,
    }
    is_new = _use_challenge(conn, answered.challenge)
    if not is_new or maybe(conn.execute(sql.use_passkey, values)) is None:
        raise InvalidRequest("This answer was used before: ask again.", path="request")


def _use_challenge(conn: Conn, challenge: bytes) -> bool:
    values = {"challenge_sha256": hashlib.sha256(challenge).digest()}
    return maybe(conn.execute(sql.use_challenge, values)) is not None
