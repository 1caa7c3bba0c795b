"""Second factors: an app that makes codes (TOTP), and recovery codes for when it is lost. Passkeys
are second factors, too: db/accounts/passkeys.py; recovery codes stand in for them as well.

The seed is sealed. It opens in the process that checks a code, and nothing else can be done with
it. The row of second_factors counts the tries; without an app (confirmed_at null) it is that of a
person who is setting one up, or has recovery codes for passkeys.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import Any

import pyotp

from db.accounts.audit_log import audit
from db.accounts.notices import tell_change
from db.accounts.secrets import find_secret, forget_secret, keep_secret
from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotAllowed, TooManyTries
from db.runtime.sealing import Place, open_to_verify

sql = load("accounts/second_factors")

ISSUER = "Usher"
DIGITS = re.compile("[0-9]{6}")
STEP = 30  # seconds
EITHER_SIDE = 1
"""How many steps the person's clock may be ahead or behind."""
MOST_TRIES = 10
"""Codes that may be tried in 15 minutes: with 3 of a million right, an attacker who has the session
needs years."""
CODES = 10
RESET_DELAY = 86400  # seconds
"""How long the owner of a factor has to object to its reset."""


def get_factor(conn: Conn, account_id: int) -> dict[str, Any]:
    """Return {confirmed_at, recovery_codes, passkeys, reset_at}; confirmed_at None: no app is in
    use. When a reset is due, nothing is in use any more."""
    return one(conn.execute(sql.get_factor, {"account_id": account_id}))


def begin_factor(conn: Conn, account_id: int, name: str) -> dict[str, str]:
    """Draw a seed; return {seed, uri}. name: what the app calls the account. One whose reset is due
    is replaced. Errors: Conflict second_factor_exists, no_encryption_keys."""
    forget_reset(conn, account_id)
    if maybe(conn.execute(sql.begin_factor, {"account_id": account_id})) is None:
        message = "There is a second factor: give it and remove it, or have it reset."
        raise Conflict(message, "second_factor_exists")
    seed = pyotp.random_base32()
    keep_secret(conn, _place(account_id), seed)
    totp = pyotp.TOTP(seed, name=name, issuer=ISSUER)
    return {"seed": seed, "uri": totp.provisioning_uri()}


def forget_reset(conn: Conn, account_id: int) -> None:
    """Forget the app, the recovery codes and the passkeys of a person, if their reset is due."""
    if maybe(conn.execute(sql.forget_reset_factor, {"account_id": account_id})) is not None:
        forget_secret(conn, _place(account_id))
        audit(conn, "second factor reset", None, {}, account_id=account_id)
        tell_change(conn, account_id, "factors_reset")


def count_try(conn: Conn, account_id: int) -> dict[str, Any]:
    """Count a code that is tried, in a transaction of its own before it is checked; return
    {last_step, confirmed_at}. Errors: Conflict no_second_factor; TooManyTries."""
    row = maybe(conn.execute(sql.count_try, {"account_id": account_id}))
    if row is None:
        raise _none()
    if row["tries"] > MOST_TRIES:
        raise TooManyTries("Too many wrong codes: try again later.", retry_after=900)
    return row


def confirm_factor(
    conn: Conn, account_id: int, session_id: int, code: str, fresh_seconds: int
) -> list[str]:
    """Begin to use a factor, by its first code; return recovery codes, which cannot be shown again.
    fresh_seconds: how old the passkey may be that a member has given before. Errors: Conflict
    second_factor_exists; NotAllowed; InvalidRequest wrong_code."""
    if get_factor(conn, account_id)["confirmed_at"]:
        raise Conflict("The second factor is in use already.", "second_factor_exists")
    check_change(conn, account_id, session_id, fresh_seconds)
    _use_totp(conn, account_id, code)
    note_given(conn, account_id, session_id)
    audit(conn, "second factor set up", None, {}, account_id=account_id)
    tell_change(conn, account_id, "app_added")
    return _replace_codes(conn, account_id)


def give_factor(conn: Conn, account_id: int, session_id: int, code: str) -> datetime:
    """Give the second factor in a session, by a code of the app or a recovery code; return when.
    A reset that was asked for is off. Errors: InvalidRequest wrong_code; Conflict
    no_second_factor: also when a reset is due."""
    factor = get_factor(conn, account_id)
    if not factor["confirmed_at"] and not factor["recovery_codes"]:
        raise _none()
    if DIGITS.fullmatch(code) and factor["confirmed_at"]:
        _use_totp(conn, account_id, code)
    else:
        _use_recovery_code(conn, account_id, code)
    return note_given(conn, account_id, session_id)


def note_given(conn: Conn, account_id: int, session_id: int) -> datetime:
    """Note that the second factor was given in a session, and return when. A reset that was asked
    for is off. Errors: NotAllowed."""
    values = {"account_id": account_id, "session_id": session_id}
    row = maybe(conn.execute(sql.confirm_session, values))
    if row is None:
        raise NotAllowed("This session has ended, or your second factor was reset.")
    at: datetime = row["second_factor_at"]
    return at


def check_confirmed(conn: Conn, account_id: int, session_id: int, fresh_seconds: int) -> None:
    """Check that the factor was given in a session a short while ago. Errors: NotAllowed."""
    values = {"account_id": account_id, "session_id": session_id, "fresh_seconds": fresh_seconds}
    row = maybe(conn.execute(sql.is_confirmed, values))
    if row is None or not row["fresh"]:
        raise NotAllowed("Give your second factor again.", reason="second_factor_needed")


def check_change(conn: Conn, account_id: int, session_id: int, fresh_seconds: int) -> None:
    """Check that a session may change how its person gives a second factor: the one that is in use
    was given a short while ago, or none is. Errors: NotAllowed."""
    if one(conn.execute(sql.is_guarded, {"account_id": account_id}))["guarded"]:
        check_confirmed(conn, account_id, session_id, fresh_seconds)


def draw_recovery_codes(conn: Conn, account_id: int) -> list[str]:
    """Replace a person's recovery codes, for an app or for passkeys; return them, which cannot be
    shown again. Errors: Conflict no_second_factor."""
    factor = get_factor(conn, account_id)
    if not factor["confirmed_at"] and not factor["passkeys"]:
        raise _none()
    audit(conn, "recovery codes drawn", None, {}, account_id=account_id)
    tell_change(conn, account_id, "recovery_codes_drawn")
    return _replace_codes(conn, account_id)


def _replace_codes(conn: Conn, account_id: int) -> list[str]:
    codes = [f"{secrets.token_hex(4)}-{secrets.token_hex(4)}" for _ in range(CODES)]
    hashes = [_hash(account_id, code) for code in codes]
    conn.execute(sql.replace_recovery_codes, {"account_id": account_id, "hashes": hashes})
    return codes


def remove_factor(conn: Conn, account_id: int) -> None:
    """Stop using an app. Recovery codes stay while there is a passkey. Errors: Conflict
    no_second_factor."""
    if not one(conn.execute(sql.remove_factor, {"account_id": account_id}))["removed"]:
        raise _none()
    forget_secret(conn, _place(account_id))
    audit(conn, "second factor removed", None, {}, account_id=account_id)
    tell_change(conn, account_id, "app_removed")


def request_reset(conn: Conn, organisation_id: int | None, account_id: int) -> datetime:
    """Ask for the reset of a lost factor of a member; the person is told by mail and can object by
    giving it. Returns when it is due. organisation_id: who asks acts for it; None: an operator.

    Errors: Conflict no_second_factor, other_memberships, reset_requested."""
    values = {"account_id": account_id, "organisation_id": organisation_id}
    if organisation_id is not None and one(conn.execute(sql.has_other_memberships, values))["has"]:
        message = "The person is a member elsewhere, too: ask an operator."
        raise Conflict(message, "other_memberships")
    factor = get_factor(conn, account_id)
    if factor["confirmed_at"] is None and not factor["passkeys"]:
        raise _none()
    row = maybe(conn.execute(sql.request_reset, {"account_id": account_id, "delay": RESET_DELAY}))
    if row is None:
        raise Conflict("The reset was asked for before.", "reset_requested")
    due_at: datetime = row["due_at"]
    audit(
        conn,
        "second factor reset requested",
        None,
        {"due_at": due_at.isoformat()},
        organisation_id=organisation_id,
        account_id=account_id,
    )
    return due_at


def _use_totp(conn: Conn, account_id: int, code: str) -> None:
    """Errors: InvalidRequest wrong_code, also when the code was used before."""
    if not DIGITS.fullmatch(code):
        raise _wrong()
    sealed = find_secret(conn, _place(account_id))
    if sealed is None:
        raise _none()
    totp, now = pyotp.TOTP(open_to_verify(sealed)), int(datetime.now(UTC).timestamp()) // STEP
    for step in range(now - EITHER_SIDE, now + EITHER_SIDE + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            values = {"account_id": account_id, "step": step}
            if maybe(conn.execute(sql.use_step, values)) is not None:
                return
    raise _wrong()


def _use_recovery_code(conn: Conn, account_id: int, code: str) -> None:
    """Errors: InvalidRequest wrong_code, also when it was used before."""
    values = {"account_id": account_id, "code_sha256": _hash(account_id, code)}
    if maybe(conn.execute(sql.use_recovery_code, values)) is None:
        raise _wrong()
    tell_change(conn, account_id, "recovery_code_used")


def _none() -> Conflict:
    return Conflict("No second factor is in use.", "no_second_factor")


def _wrong() -> InvalidRequest:
    return InvalidRequest("The code is wrong, or was used.", reason="wrong_code", path="code")


def _place(account_id: int) -> Place:
    return Place("totp_seed", str(account_id))


def _hash(account_id: int, code: str) -> bytes:
    # The account is part of it: a code of another person is another one. They have 64 random bits.
    return hashlib.sha256(f"{account_id} {code.strip().lower()}".encode()).digest()
