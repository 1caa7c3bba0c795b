"""The page for passkeys: it signs in by one, and adds, lists and removes them in a session with a
cookie. Its script does that through the API."""

from flask import Blueprint, Response, make_response, render_template

from db.runtime.errors import Conflict
from web.pages.payment_result import HEADERS
from web.pages.sign_in import REFERRER
from web.support.passkeys import host_name

blp = Blueprint("passkeys_page", __name__)

PATH = "/passkeys"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The script is a file of this site, and calls this site alone."""


@blp.get(PATH)
def show_passkeys() -> Response:
    """The page; the same for all, what is in it the script asks for."""
    try:
        host_name()
    except Conflict as error:
        return _page(409, refusal=str(error))
    return _page(200)


def _page(status: int, refusal: str = "") -> Response:
    answer = make_response(render_template("passkeys.html", refusal=refusal), status)
    answer.headers.update(HEADERS)
    answer.headers["Referrer-Policy"] = REFERRER
    answer.headers["Content-Security-Policy"] = POLICY
    return answer
