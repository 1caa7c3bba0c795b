"""The base of all blueprints: strict bodies, ids in paths, pages, idempotent requests."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from flask import Request, abort, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema, missing
from webargs.flaskparser import FlaskParser
from werkzeug.routing import IntegerConverter

from web.support import idempotency, pages
from web.support.enumerations import Enumeration
from web.support.fields import BIGGEST_ID
from web.support.problems import PROBLEM_JSON, Problem

MAX_BODY = 64 * 2**10

View = Callable[..., Any]


class Parser(FlaskParser):
    """Bodies must be JSON objects that the parser can read."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        try:
            body = super().load_json(req, schema)
            return None if body is missing else body  # for webargs, no body would be {}
        except RecursionError:
            return abort(400, "The JSON is nested too deeply.")
        except ValueError:  # an integer of thousands of digits
            return abort(400, "The JSON holds a number that is too long.")


def parameter(name: str, enumeration: Enumeration, about: str) -> dict[str, Any]:
    """Describe a parameter of a path that is one of some words."""
    words = {"type": "string", "enum": list(enumeration.words)}
    return {
        "in": "path",
        "name": name,
        "description": f"{about}: {enumeration.description}",
        "schema": words,
    }


class Blueprint(SmorestBlueprint):
    """flask-smorest's Blueprint with our parser."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(self._prepare_conflicts_doc)

    def arguments(self, schema: type[Schema], **options: Any) -> Any:
        # An instance: for a class, webargs makes a new one for every request, in 0.1 ms.
        return super().arguments(schema(), **options)

    def idempotent(
        self,
        answer: type[Schema],
        status: int = 201,
        *,
        key_required: bool = True,
        holds_secret: bool = False,
    ) -> Callable[[View], View]:
        """Wrap a view that takes a connection in a transaction and returns its result. A repeated
        request with the same Idempotency-Key changes nothing and gets the same answer; one that
        holds a secret is not kept, and its repetition gets 409.
        """
        header = idempotency.KEY_HEADER | ({"required": True} if key_required else {})

        def decorate(view: View) -> View:
            once = idempotency.idempotent(
                view, answer(), status, key_required=key_required, holds_secret=holds_secret
            )
            documented = self.doc(parameters=[header])(self.response(status, answer)(once))
            reasons = ["in_flight", "already_answered"] if holds_secret else ["in_flight"]
            return self.conflicts(*reasons)(documented)

        return decorate

    @staticmethod
    def conflicts(*reasons: str) -> Callable[[View], View]:
        """Name reasons for which a view answers 409."""

        def decorate(view: View) -> View:
            doc = deepcopy(getattr(view, "_apidoc", {}))
            doc.setdefault("conflicts", []).extend(reasons)
            view._apidoc = doc  # type: ignore[attr-defined]
            return view

        return decorate

    def _prepare_conflicts_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        if reasons := doc_info.get("conflicts"):
            doc.setdefault("responses", {})[409] = {
                "description": f"`conflict_reason` is one of {', '.join(sorted(set(reasons)))}.",
                "content": {PROBLEM_JSON: {"schema": Problem}},
            }
        return doc

    def paginated(
        self, row: type[Schema], page: type[Schema] = pages.Page, *, reads: str | None = None
    ) -> Callable[[View], View]:
        """Wrap a view that takes a connection and the requested page, and returns rows. reads: see
        pages.paginated."""
        personal = {name for name, field in page().fields.items() if field.metadata.get("personal")}

        def decorate(view: View) -> View:
            read = pages.paginated(view, reads, personal)
            answered = self.response(200, row(many=True))(read)
            documented: View = self.arguments(page, location="query")(answered)
            return documented

        return decorate


def numbers_up_to(most: int) -> str:
    """A pattern of the numbers from 1 to `most`, each in one spelling. \\d would be the digits of
    all alphabets."""
    digits = str(most)
    fewer_digits = rf"[1-9][0-9]{{0,{len(digits) - 2}}}"
    smaller = [
        rf"{digits[:place]}[{least}-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if int(digit) > (least := int(place == 0))
    ]
    return "|".join([fewer_digits, *smaller, digits])


class IdConverter(IntegerConverter):
    """Ids in paths, as large as a bigint can hold, each in one spelling. The pattern has the bound,
    too: a number that is refused later would be answered as a method that the path does not have,
    where it has others."""

    regex = numbers_up_to(BIGGEST_ID)


def refuse_other_bodies() -> None:
    """Answer 415 to a body without the content type of JSON."""
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if has_body and not request.is_json and request.path.startswith("/v1/"):
        abort(415, "Send JSON, with Content-Type: application/json.")
