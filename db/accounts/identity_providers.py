"""Identity providers of organisations (OpenID Connect), and whom they mean: an identity is bound to
a member by an invitation of the organisation, and signs in to that organisation alone. An address
that a provider names binds nothing."""

from datetime import datetime
from typing import Any, NamedTuple, TypedDict, cast

from db.accounts import sessions
from db.accounts.audit_log import audit, changes
from db.accounts.invitations import hash_code
from db.accounts.secrets import find_secret, forget_secret, keep_secret
from db.accounts.sessions import OpenSession
from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotAllowed, NotFound
from db.runtime.sealing import Place, Sealed

sql = load("accounts/identity_providers")

AUDITED = ("issuer", "client_id", "factor_amr", "factor_acr")


class Provider(TypedDict):
    """An organisation's provider. factor_amr, factor_acr: values of these claims that count as a
    second factor."""

    organisation_id: int
    organisation: str
    issuer: str
    client_id: str
    factor_amr: list[str]
    factor_acr: list[str]
    changed_at: datetime


class Identity(NamedTuple):
    """Who has signed in, as a provider has proven. second_factor_at: when it was given there; None:
    it was not."""

    issuer: str
    client_id: str
    subject: str
    second_factor_at: datetime | None


def get_provider(conn: Conn, organisation_id: int) -> Provider:
    """Errors: NotFound."""
    found = _find_provider(conn, organisation_id)
    if found is None:
        raise NotFound
    return found


def find_client_secret(conn: Conn, organisation_id: int) -> Sealed:
    """Errors: NotFound."""
    found = find_secret(conn, _place(organisation_id))
    if found is None:
        raise NotFound
    return found


def set_provider(conn: Conn, organisation_id: int, given: dict[str, Any], secret: str) -> Provider:
    """Set issuer, client_id, factor_amr, factor_acr and the client's secret. Sessions that the
    provider has opened end. Errors: Conflict no_encryption_keys."""
    of = {"organisation_id": organisation_id}
    before = dict(_find_provider(conn, organisation_id) or {})
    conn.execute(sql.set_provider, given | of)
    keep_secret(conn, _place(organisation_id), secret)
    _end_sessions(conn, organisation_id)
    detail = changes(before, {name: given[name] for name in AUDITED}) | {"client_secret": "set"}
    audit(conn, "identity provider set", None, detail, organisation_id=organisation_id)
    return get_provider(conn, organisation_id)


def remove_provider(conn: Conn, organisation_id: int) -> None:
    """Stop using a provider; sessions that it has opened end. Errors: NotFound."""
    of = {"organisation_id": organisation_id}
    if maybe(conn.execute(sql.remove_provider, of)) is None:
        raise NotFound
    forget_secret(conn, _place(organisation_id))
    _end_sessions(conn, organisation_id)
    audit(conn, "identity provider removed", None, {}, organisation_id=organisation_id)


def bind_identity(
    conn: Conn, organisation_id: int, identity: Identity, code: str, proven_email: str | None
) -> None:
    """Accept an invitation of the organisation by its code, as this identity. proven_email: the
    address that the provider has proven. Errors: Conflict invitation_over, address_not_verified,
    identity_taken, provider_changed."""
    values = {
        "organisation_id": organisation_id,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "code_sha256": hash_code(code),
        "email": proven_email,
    }
    outcome = one(conn.execute(sql.bind_identity, values))["outcome"]
    if outcome != "done":
        raise Conflict(*REFUSALS[outcome])


REFUSALS = {
    "missing": ("There is no such invitation, or it is over.", "invitation_over"),
    "not_verified": (
        "Prove your e-mail address first: sign in by a mailed code.",
        "address_not_verified",
    ),
    "identity_taken": ("Another member signs in by this identity.", "identity_taken"),
    "provider_changed": ("The provider has just changed: begin again.", "provider_changed"),
}


def open_session(conn: Conn, organisation_id: int, identity: Identity, name: str) -> OpenSession:
    """Sign in the member to whom an identity is bound, to this organisation alone. Errors:
    NotAllowed when it is bound to none; NotSignedIn when the account is closed or blocked."""
    values = {
        "organisation_id": organisation_id,
        "issuer": identity.issuer,
        "client_id": identity.client_id,
        "subject": identity.subject,
    }
    member = maybe(conn.execute(sql.find_identity, values))
    if member is None:
        raise NotAllowed("This identity is of no member.", reason="not_a_member")
    return sessions.open_session(
        conn,
        member["account_id"],
        "oidc",
        name,
        epoch=member["token_epoch"],
        carrier="cookie",
        organisation_id=organisation_id,
        second_factor_at=identity.second_factor_at,
    )


def _find_provider(conn: Conn, organisation_id: int) -> Provider | None:
    row = maybe(conn.execute(sql.get_provider, {"organisation_id": organisation_id}))
    return cast(Provider | None, row)


def _end_sessions(conn: Conn, organisation_id: int) -> None:
    """End the sessions that an organisation's provider has opened."""
    conn.execute(sql.end_provider_sessions, {"organisation_id": organisation_id})


def _place(organisation_id: int) -> Place:
    return Place("oidc_client_secret", str(organisation_id), organisation_id)
