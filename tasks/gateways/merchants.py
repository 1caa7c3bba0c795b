"""Asks the gateway whose account it is that an organisation connects, before its keys are kept; and
whether one that is in use can still be called."""

import structlog

from db.connections import Conn
from db.payments import circuits, merchants
from db.payments.merchants import Check
from db.runtime.sealing import open_sealed
from tasks.durable.actors import durable
from tasks.durable.leases import Lease
from tasks.gateways.stripe import accounts
from tasks.gateways.stripe.accounts import Access, AccessLost

log = structlog.get_logger()


@durable(queue="maintenance")
def check_merchant(lease: Lease) -> None:
    """Keep the key that was offered if it is the account's; else forget it, and say why. An account
    in use that the gateway does not let us call any more pauses its lanes."""
    account_id = lease.task.args["account_id"]
    with lease.transaction() as conn:
        check = merchants.find_check(conn, account_id)
    access = access_to_check(check)
    try:
        found, why = accounts.find_external_account(access), ""
    except AccessLost as lost:
        found, why = None, f"The gateway does not accept it: {lost}"
    with lease.transaction() as conn:
        record(conn, check, access, found, why)
        lease.finish(conn)
    accounts.forget(account_id)


def access_to_check(check: Check) -> Access:
    """The key that was offered, or else the way in which the account is called now."""
    if check.offered:
        return Access(open_sealed(check.offered))
    return accounts.read_access(check.id)


def record(conn: Conn, check: Check, access: Access, found: str | None, why: str) -> None:
    """found: the gateway's id of the account; None: it was refused."""
    if found is None:
        merchants.refuse(conn, check, why)
        pause_lost(conn, check, why)
    elif check.external_account not in (None, found):
        merchants.refuse(conn, check, "The key belongs to another account of the gateway.")
    elif merchants.has_other_owner(conn, check.id, check.mode, found):
        merchants.refuse(conn, check, "This account is connected already.")
    else:
        merchants.accept(conn, check, found, access.api_key if check.offered else None)
        circuits.end_refusal(conn, check.id)


def pause_lost(conn: Conn, check: Check, why: str) -> None:
    """Pause the lanes of an account in use whose present key was refused, as a refused payment
    would: nothing has to be tried to find it out."""
    if check.offered is None and check.state == "active":
        circuits.refuse_key(conn, check.id)
        log.error("the account is lost", gateway_account_id=check.id, error=why)
