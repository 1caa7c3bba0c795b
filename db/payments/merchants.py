"""Organisations' own accounts at the gateway. `scope` is the organisation that the caller may act
for; None: all of them.

An account is called in one of three ways. `platform`: with the platform's key, for the platform's
own account, which organisations share. `connected`: with the platform's key, for an account that is
connected to it. `own_keys`: with the organisation's key, which is sealed. Keys are offered first,
and kept when the gateway has said that they are the account's (tasks/merchants.py).
"""

from dataclasses import dataclass
from typing import Any

from db.accounts.audit_log import audit
from db.accounts.secrets import find_secret, forget_secret, keep_secret
from db.connections import Conn, many, maybe, one
from db.durable import jobs
from db.queries import load
from db.runtime.errors import Conflict, NotFound
from db.runtime.sealing import Place, Sealed

sql = load("payments/merchants")


@dataclass(frozen=True)
class Access:
    """How an account is called. external_account: the gateway's id; None: not known, or the
    platform's. sealed_key None: it has no key of its own."""

    access: str
    mode: str
    external_account: str | None
    sealed_key: Sealed | None


@dataclass(frozen=True)
class Check:
    """An account about which the gateway is asked. offered: the key that was offered, sealed."""

    id: int
    organisation_id: int
    access: str
    mode: str
    external_account: str | None
    state: str
    offered: Sealed | None


def key_place(account_id: int, organisation_id: int, *, offered: bool = False) -> Place:
    owner = f"{account_id}:offered" if offered else str(account_id)
    return Place("stripe_key", owner, organisation_id)


def find_access(conn: Conn, account_id: int) -> Access:
    row = one(conn.execute(sql.find_access, {"account_id": account_id}))
    place = key_place(account_id, row["organisation_id"])
    sealed = Sealed(place, row["sealed"]) if row["sealed"] else None
    return Access(row["access"], row["mode"], row["external_account"], sealed)


def find_signer(conn: Conn, account_id: int) -> Sealed | None:
    """The sealed secret of an account's notifications. None: it has none, or does not exist."""
    row = maybe(conn.execute(sql.find_signer, {"account_id": account_id}))
    if row is None:
        return None
    return Sealed(_secret_place(account_id, row["organisation_id"]), row["sealed"])


def _secret_place(account_id: int, organisation_id: int) -> Place:
    return Place("stripe_webhook_secret", str(account_id), organisation_id)


def add_account(
    conn: Conn,
    organisation_id: int,
    *,
    mode: str,
    api_key: str | None = None,
    connected_account: str | None = None,
    statement_descriptor: str | None = None,
) -> dict[str, Any]:
    """Add an account with a key of its own, or one that is connected to the platform; the gateway
    is asked by a task. Errors: Conflict `no_encryption_keys`, `connected_already`."""
    values = {"organisation_id": organisation_id, "mode": mode}
    values |= {"external_account": connected_account, "statement_descriptor": statement_descriptor}
    values |= {"access": "own_keys" if api_key else "connected"}
    if connected_account:
        _check_owner(conn, 0, mode, connected_account)
    account_id = one(conn.execute(sql.add_account, values))["id"]
    if api_key:
        keep_secret(conn, key_place(account_id, organisation_id, offered=True), api_key)
    _begin_check(conn, account_id)
    audit(
        conn,
        "gateway account added",
        None,
        {"account": account_id} | values,
        organisation_id=organisation_id,
    )
    return get_account(conn, organisation_id, account_id)


def _begin_check(conn: Conn, account_id: int) -> None:
    """Have the gateway asked about an account."""
    jobs.add_task(conn, "check_merchant", str(account_id), {"account_id": account_id})


def _check_owner(conn: Conn, account_id: int, mode: str, external_account: str) -> None:
    if has_other_owner(conn, account_id, mode, external_account):
        raise Conflict("This account is connected already.", "connected_already")


def has_other_owner(conn: Conn, account_id: int, mode: str, external_account: str) -> bool:
    """Whether an account at the gateway is that of another row."""
    values = {"account_id": account_id, "mode": mode, "external_account": external_account}
    return bool(many(conn.execute(sql.find_owner, values)))


def list_accounts(
    conn: Conn, organisation_id: int, *, limit: int, starting_after: int = 0
) -> list[dict[str, Any]]:
    return _list(conn, organisation_id, None, limit, starting_after)


def get_account(conn: Conn, organisation_id: int, account_id: int) -> dict[str, Any]:
    """An account, see sql/queries/payments/merchants.sql. Errors: NotFound."""
    rows = _list(conn, organisation_id, account_id, 1, 0)
    if not rows:
        raise NotFound
    return rows[0]


def _list(
    conn: Conn, organisation_id: int, account_id: int | None, limit: int, starting_after: int
) -> list[dict[str, Any]]:
    values = {"organisation_id": organisation_id, "account_id": account_id}
    values |= {"limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_accounts, values))


def offer_key(
    conn: Conn, organisation_id: int, account_id: int, mode: str, api_key: str
) -> dict[str, Any]:
    """Offer another key of the same account; it is kept when the gateway has confirmed that.

    Errors: NotFound; Conflict `no_own_keys`, `other_mode`, `no_encryption_keys`.
    """
    account = get_account(conn, organisation_id, account_id)
    if account["access"] != "own_keys":
        raise Conflict("This account is called with the platform's key.", "no_own_keys")
    if account["mode"] != mode:
        raise Conflict("The key is one of the other mode, live or test.", "other_mode")
    keep_secret(conn, key_place(account_id, organisation_id, offered=True), api_key)
    _begin_check(conn, account_id)
    audit(
        conn, "gateway key offered", None, {"account": account_id}, organisation_id=organisation_id
    )
    return get_account(conn, organisation_id, account_id)


def check_again(conn: Conn, organisation_id: int, account_id: int) -> dict[str, Any]:
    """Ask the gateway again about an account. Errors: NotFound."""
    account = get_account(conn, organisation_id, account_id)
    _begin_check(conn, account_id)
    act = {"account": account_id}
    audit(conn, "gateway account check asked for", None, act, organisation_id=organisation_id)
    return account


def keep_webhook_secret(
    conn: Conn, organisation_id: int, account_id: int, secret: str
) -> dict[str, Any]:
    """Keep the secret that signs an account's notifications.

    Errors: NotFound; Conflict `no_own_keys`, `no_encryption_keys`.
    """
    account = get_account(conn, organisation_id, account_id)
    if account["access"] != "own_keys":
        raise Conflict("Its notifications come with the platform's.", "no_own_keys")
    keep_secret(conn, _secret_place(account_id, organisation_id), secret)
    audit(
        conn,
        "webhook secret changed",
        None,
        {"account": account_id},
        organisation_id=organisation_id,
    )
    return get_account(conn, organisation_id, account_id)


def find_check(conn: Conn, account_id: int) -> Check:
    """What to ask the gateway about; the account is locked."""
    row = one(conn.execute(sql.find_check, {"account_id": account_id}))
    sealed = row.pop("sealed")
    place = key_place(account_id, row["organisation_id"], offered=True)
    return Check(**row, offered=Sealed(place, sealed) if sealed else None)


def accept(conn: Conn, check: Check, external_account: str, api_key: str | None) -> None:
    """Keep the key that was offered, since the gateway has said that it is the account's.

    Errors: Conflict `connected_already`.
    """
    _check_owner(conn, check.id, check.mode, external_account)
    values = {"account_id": check.id, "external_account": external_account}
    conn.execute(sql.accept_account, values)
    if api_key:
        keep_secret(conn, key_place(check.id, check.organisation_id), api_key)
        _forget_offered(conn, check)
    audit(conn, "gateway account checked", None, values, organisation_id=check.organisation_id)


def refuse(conn: Conn, check: Check, why: str) -> None:
    """Forget the key that was offered. why: for the organisation."""
    conn.execute(sql.refuse_account, {"account_id": check.id, "refusal": why})
    _forget_offered(conn, check)
    audit(
        conn,
        "gateway account refused",
        None,
        {"account": check.id, "why": why},
        organisation_id=check.organisation_id,
    )


def _forget_offered(conn: Conn, check: Check) -> None:
    """Unless another key was offered meanwhile: its task runs again."""
    place = key_place(check.id, check.organisation_id, offered=True)
    if check.offered and find_secret(conn, place) == check.offered:
        forget_secret(conn, place)
