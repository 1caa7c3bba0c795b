"""What all blueprints share: strict bodies, ids in paths, lists in pages."""

from typing import Any
from urllib.parse import urlencode

from flask import Request, abort, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.routing import IntegerConverter, Map

from web.support.fields import BIGGEST_ID, Digits, Shape

MAX_BODY = 64 * 2**10
MAX_LIMIT = 100


class Parser(FlaskParser):
    """Bodies must be JSON objects that the parser can read."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        try:
            return super().load_json(req, schema)
        except RecursionError:
            return abort(400, "The JSON is nested too deeply.")
        except ValueError:  # an integer of thousands of digits
            return abort(400, "The JSON holds a number that is too long.")


class Blueprint(SmorestBlueprint):
    """flask-smorest's, with our parser."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: type[Schema], **options: Any) -> Any:
        # An instance, since webargs makes a new one for every request of a class: 0.1 ms.
        return super().arguments(schema(), **options)


class IdConverter(IntegerConverter):
    """Ids in paths: those that a bigint can hold."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=BIGGEST_ID)


class Page(Shape):
    """Which part of a list."""

    starting_after = Digits(load_default=0, metadata={"description": "the last id you have"})
    limit = Digits(least=1, most=MAX_LIMIT, load_default=20)


def refuse_other_bodies() -> None:
    """415 for a body that is not said to be JSON."""
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if has_body and not request.is_json and request.path.startswith("/v1/"):
        abort(415, "Send JSON, with Content-Type: application/json.")


def page_of(
    rows: list[dict[str, Any]], limit: int, **query: str
) -> tuple[list[dict[str, Any]], int, dict[str, str]]:
    """The rows of a page, read with a limit one higher, and a Link to the next if there is one.

    query: what else the request asked for, which the link repeats.
    """
    if len(rows) <= limit:
        return rows, 200, {}
    following = urlencode(query | {"starting_after": rows[limit - 1]["id"], "limit": limit})
    return rows[:limit], 200, {"Link": f'<{request.path}?{following}>; rel="next"'}
