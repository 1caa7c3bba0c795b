"""The page of an invitation: what it is for, and how it is accepted. Opening it uses nothing, since
scanners of mail open links; its address is a secret."""

import psycopg
from flask import Blueprint, Response, make_response, render_template, request
from psycopg_pool import PoolTimeout

from db.accounts.invitations import PATH, read_invitation
from db.connections import autocommit
from db.runtime.errors import NotFound
from web.pages.payment_result import HEADERS

AWAY = 5  # seconds

blp = Blueprint("invitation", __name__, template_folder="templates")


@blp.get(PATH)
def show_invitation() -> Response:
    """What an invitation is for."""
    code = request.args.get("code", "")
    try:
        with autocommit() as conn:
            invitation = read_invitation(conn, code)
    except (NotFound, ValueError):
        return _page(404)
    except (psycopg.OperationalError, PoolTimeout):
        return _page(503)
    return _page(200, code=code, **invitation)


def _page(status: int, **values: object) -> Response:
    answer = make_response(render_template("invitation.html", status=status, **values), status)
    answer.headers.update(HEADERS)
    if status == 503:
        answer.headers["Retry-After"] = str(AWAY)
    return answer
