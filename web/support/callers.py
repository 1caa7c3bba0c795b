"""Callers who act for an organisation or the platform: who they are, and what they may do."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from ipaddress import ip_network
from typing import Any, cast

import structlog
from flask import abort, g, request

from db.accounts import api_keys, memberships
from db.accounts.callers import Caller
from db.accounts.rights import DANGEROUS, OF_THE_PLATFORM, RIGHTS, may
from db.connections import autocommit
from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.auth import document_security, identify_person, own_cookie, token_in
from web.support.client_address import is_within
from web.support.rate_limits import spend_api_key
from web.support.sessions import Session

View = Callable[..., Any]

NEEDS_KEY = "This needs an API key as the bearer token, or a member's session."


def needs(right: str) -> Callable[[View], View]:
    """Require a caller with a right of db/accounts/rights.py: see caller(). Of a dangerous one, a
    server's key needs the scope, too."""
    if right not in RIGHTS:
        raise KeyError(right)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            g.caller = _identify()
            g.caller.check(right)
            return view(*args, **kwargs)

        scheme = "operator_key" if right in OF_THE_PLATFORM else "api_key"
        return _document_right(
            document_security(guarded, {scheme: []}, {"staff": []}, {"staff_cookie": []}), right
        )

    return decorate


def _identify() -> Caller:
    """Who calls; the request is counted. Errors: NotSignedIn, NotAllowed."""
    if not (token := token_in(request.headers.get("Authorization", ""))) and not own_cookie():
        raise NotSignedIn(NEEDS_KEY)
    if not token.startswith(api_keys.PREFIX):
        return _find_staff(identify_person())
    found = _find_key(token)
    spend_api_key(found.id)
    return found


def _find_staff(of: Session) -> Caller:
    if of.id is None:
        raise NotAllowed("Sign in again: this token is of no session.")
    with autocommit() as conn:
        found = memberships.find_staff(conn, of.account_id, of.id, named_organisation())
    structlog.contextvars.bind_contextvars(caller=found.name)
    return found


def named_organisation() -> int | None:
    """The organisation that the request names, for people with several memberships, or 0: the
    platform, as its operator; 400 when it is malformed."""
    given = request.headers.get(memberships.HEADER)
    if given == memberships.PLATFORM:
        return 0
    if given is not None and not re.fullmatch("[1-9][0-9]{0,17}", given):
        abort(400, f"{memberships.HEADER} must be an organisation's id, or {memberships.PLATFORM}.")
    return int(given) if given else None


def _find_key(key: str) -> Caller:
    with autocommit() as conn:
        found = api_keys.find_key(conn, key)
    if found is None:
        raise NotSignedIn("This API key is wrong, was revoked or has expired.")
    if found.networks and not is_within(request.remote_addr, map(ip_network, found.networks)):
        raise NotAllowed("This API key may not be used from your address.")
    structlog.contextvars.bind_contextvars(caller=found.caller.name)
    return found.caller


def _document_right(view: View, right: str) -> View:
    doc = deepcopy(getattr(view, "_apidoc", {}))
    told = {"x-right": right} | ({"x-dangerous": True} if right in DANGEROUS else {})
    doc.setdefault("manual_doc", {}).update(told)
    view._apidoc = doc  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Who calls, behind needs()."""
    return cast(Caller, g.caller)


def caller_if_any(right: str) -> Caller | None:
    """Who calls, on public routes that show more to those who have the right. A member's request
    names the organisation in its header; without it, it is that of a buyer."""
    token = token_in(request.headers.get("Authorization", ""))
    if token.startswith(api_keys.PREFIX):
        found = _find_key(token)
    elif (token or own_cookie()) and named_organisation() is not None:
        found = _find_staff(identify_person())
    else:
        return None
    return found if may(found.role, right) else None
