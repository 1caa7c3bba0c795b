"""The page to which a bank sends a buyer after a payment: it says how the payment went.

The buyer's browser comes without a token, so the address is signed. It shows one booking's result,
and cannot change anything.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import jwt
import psycopg
from flask import Blueprint, Response, make_response, render_template, request
from psycopg_pool import PoolTimeout

from db.connections import autocommit
from db.payments.payment_results import get_result
from db.runtime.errors import NotFound
from db.runtime.settings import settings
from web.support.signing import sign, verify

blp = Blueprint(
    "pages",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/pages",
)

PATH = "/payment-result"
GOOD_FOR = timedelta(days=30)
LOOKS = (2, 2, 3, 5, 8, 13, 20, 30)
"""Seconds until the page looks again, look by look; then it stops."""
AWAY = 5
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
"""The address is a secret, and the gateway adds another to it."""


def result_url(event_id: int, booking_id: UUID) -> str:
    """The page's address for a booking, which only its buyer gets."""
    claims = {"sub": str(booking_id), "event": event_id, "exp": datetime.now(UTC) + GOOD_FOR}
    token = sign(claims, "payment-result")
    return f"{settings().public_url.rstrip('/')}{PATH}?of={token}"


@blp.get(PATH)
def show_result() -> Response:
    """How the latest payment of the booking went."""
    try:
        event_id, booking_id = _read(request.args.get("of", ""))
        with autocommit() as conn:
            result = get_result(conn, event_id, booking_id)
    except (NotFound, jwt.InvalidTokenError, ValueError):
        return _page(404, "unknown")
    except (psycopg.OperationalError, PoolTimeout):
        return _page(503, "away", AWAY)
    return _page(200, result.kind, _next_look(result.kind), result=result)


def _read(token: str) -> tuple[int, UUID]:
    """Event and booking of a token. Errors: jwt.InvalidTokenError, ValueError."""
    claims = verify(token, "payment-result", ["event"])
    return int(claims["event"]), UUID(claims["sub"])


def _next_look(kind: str) -> int | None:
    """Seconds until the page looks again. None: the result is final, or it has looked often."""
    looked = request.args.get("looked", default=0, type=int)
    return LOOKS[looked] if kind == "waiting" and 0 <= looked < len(LOOKS) else None


def _page(status: int, kind: str, look_after: int | None = None, **values: object) -> Response:
    looked = request.args.get("looked", default=0, type=int)
    again = "?" + urlencode({"of": request.args.get("of", ""), "looked": looked + 1})
    text = render_template(
        "payment_result.html", kind=kind, look_after=look_after, again=again, **values
    )
    answer = make_response(text, status)
    answer.headers.update(HEADERS)
    if status == 503:
        answer.headers["Retry-After"] = str(look_after)
    return answer
