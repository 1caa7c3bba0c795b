"""Signing in at an organisation's identity provider (OpenID Connect): the browser is sent there,
and comes back with a code. What it opens is that organisation, by an identity that an invitation
has bound."""

import psycopg
import structlog
from flask import Blueprint, Response, make_response, redirect, render_template, request
from psycopg_pool import PoolTimeout

from db.accounts import identity_providers
from db.accounts.identity_providers import Provider
from db.accounts.sessions import OpenSession
from db.connections import autocommit, transaction
from db.runtime.errors import Busy, Conflict, NotAllowed, NotFound, NotSignedIn
from db.runtime.sealing import CannotOpen
from web.oidc.begun import Begun, begin, give_begun, read_begun, take_begun
from web.oidc.calls import ProviderAway, ProviderRefuses
from web.oidc.id_tokens import InvalidIdToken
from web.oidc.providers import PATH, Proven, find_authorization_url, find_identity
from web.pages.payment_result import HEADERS
from web.support.auth import device, give_cookie

AWAY = 5  # seconds

blp = Blueprint("oidc", __name__, url_prefix=f"{PATH}/<id:organisation_id>")
log = structlog.get_logger()


@blp.get("")
def begin_sign_in(organisation_id: int) -> Response:
    """Send the browser to the organisation's provider. ?invitation= accepts one, from its own page;
    ?again=1 has the provider ask again for all that it asks."""
    invitation, again = request.args.get("invitation", ""), request.args.get("again") == "1"
    if invitation and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return _page(403, "elsewhere")
    try:
        with autocommit() as conn:
            provider = identity_providers.get_provider(conn, organisation_id)
        known = (organisation_id, provider["issuer"], provider["client_id"])
        begun = begin(*known, invitation[:100])
        answer = redirect(find_authorization_url(provider, begun, again=again))
    except NotFound:
        return _page(404, "unknown")
    except (Busy, ProviderAway, psycopg.OperationalError, PoolTimeout):
        return _page(503, "away")
    answer.headers.update(HEADERS)
    give_begun(answer, begun)  # type: ignore[arg-type]  # redirect() makes Flask's answers
    return answer  # type: ignore[return-value]


@blp.get("/callback")
def finish_sign_in(organisation_id: int) -> Response:
    """Sign in by what the provider says of the code that the browser brings."""
    answer = _finish(organisation_id)
    take_begun(answer)
    return answer


def _finish(organisation_id: int) -> Response:
    begun = read_begun(organisation_id, request.args.get("state", ""))
    if begun is None or "\0" in request.args.get("code", ""):
        return _page(400, "again")
    try:
        opened = _sign_in(begun, request.args.get("code", ""))
    except NotFound:
        return _page(404, "unknown")
    except (Busy, ProviderAway, CannotOpen, psycopg.OperationalError, PoolTimeout):
        return _page(503, "away")
    except (ProviderRefuses, InvalidIdToken) as error:
        log.warning("identity refused", organisation_id=organisation_id, error=str(error))
        return _page(401, "refused")
    except (NotAllowed, NotSignedIn):
        return _page(403, "stranger")
    except Conflict as conflict:
        return _page(409, str(conflict.details["conflict_reason"]))
    give_cookie(opened)
    return _page(200, "done")


def _sign_in(begun: Begun, code: str) -> OpenSession:
    """Errors: those of the provider's calls; NotAllowed, NotSignedIn, NotFound, Conflict."""
    id = begun.organisation_id
    with autocommit() as conn:
        provider = identity_providers.get_provider(conn, id)
        secret = identity_providers.find_client_secret(conn, id)
    _check_answer(begun, provider)
    proven = find_identity(provider, secret, begun, code)
    return _open(begun, proven)


def _check_answer(begun: Begun, provider: Provider) -> None:
    """Errors: Conflict, ProviderRefuses."""
    if (begun.issuer, begun.client_id) != (provider["issuer"], provider["client_id"]):
        raise Conflict("The provider has just changed: begin again.", "provider_changed")
    if "code" not in request.args or request.args.get("iss", begun.issuer) != begun.issuer:
        raise ProviderRefuses(request.args.get("error", "no code")[:100])


def _open(begun: Begun, proven: Proven) -> OpenSession:
    """Errors: NotAllowed, NotSignedIn, Conflict."""
    id, identity = begun.organisation_id, proven.identity
    with transaction(f"identity:{id}") as conn:
        if begun.invitation:
            identity_providers.bind_identity(conn, id, identity, begun.invitation, proven.email)
        return identity_providers.open_session(conn, id, identity, device())


def _page(status: int, kind: str) -> Response:
    answer = make_response(render_template("oidc.html", kind=kind), status)
    answer.headers.update(HEADERS)
    if status == 503:
        answer.headers["Retry-After"] = str(AWAY)
    return answer
