"""The page of the link in a mail with a code. Opening it changes nothing, since programs that look
through mails open links; its button signs in. It works in the browser that asked for the code; in
another one it shows the code, to be typed where it was asked for."""

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from db.runtime.errors import NotSignedIn
from web.api.sign_in import sign_in_by_code
from web.pages.payment_result import HEADERS
from web.support.auth import give_cookie
from web.support.cookies import REQUEST_NAME, has_own_origin, remove_request_cookie
from web.support.rate_limits import TooMany

blp = Blueprint("sign_in_page", __name__)

PATH = "/sign-in"
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
"""The browser sends the form to this site alone."""
REFERRER = "same-origin"
"""With no-referrer, browsers send `Origin: null` with a form, and its button would be refused."""


@blp.get(PATH)
def show_sign_in() -> Response:
    """The code of a mail, and a button that signs in by it."""
    known = bool(request.cookies.get(REQUEST_NAME))
    return _page(200, "ask" if known else "elsewhere", code=_digits(request.args))


@blp.post(PATH)
def sign_in() -> Response:
    """Sign in by the code, in the browser that asked for it."""
    if not has_own_origin(request.environ):
        return _page(403, "elsewhere", code="")
    secret, code = request.cookies.get(REQUEST_NAME, ""), _digits(request.form)
    try:
        opened = sign_in_by_code(secret, code, "link", "cookie")
    except NotSignedIn:
        return _page(401, "wrong", code="")
    except TooMany:
        return _page(429, "too_many", code="")
    give_cookie(opened)
    answer = _page(200, "done", code="")
    remove_request_cookie(answer)
    return answer


def _digits(given: Any) -> str:
    """The code, if it is one: the page shows nothing else that a link says."""
    code: str = given.get("code", "")
    return code if len(code) == 6 and code.isascii() and code.isdigit() else ""


def _page(status: int, kind: str, **values: object) -> Response:
    answer = make_response(render_template("sign_in.html", kind=kind, **values), status)
    answer.headers.update(HEADERS)
    answer.headers["Referrer-Policy"] = REFERRER
    answer.headers["Content-Security-Policy"] = POLICY + "frame-ancestors 'none'"
    return answer
