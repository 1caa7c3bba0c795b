"""The API's description at /openapi.json, and a page that renders it with local files.

Views say what they take and answer; the rest follows by rules: an operation's name from its view's,
its errors from what it has (web/support/problems.py), descriptions of fields and parameters that
mean the same everywhere from one table (web/support/descriptions.py).
"""

from typing import Any

from apispec import BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from flask_smorest import Api
from flask_smorest.utils import prepare_response
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import Schema, fields
from werkzeug.routing import Rule

from db.runtime.settings import settings
from web.support.blueprint import IdConverter
from web.support.descriptions import ABOUT, FIELDS, PATHS, SCHEMES
from web.support.enumerations import Enumeration
from web.support.fields import BIGGEST_ID
from web.support.problems import MEANINGS, PROBLEM_JSON, Problem, list_statuses
from web.support.rate_limits import UNLIMITED

files = get_swaggerui_blueprint("/docs/files", "/openapi.json", blueprint_name="docs")

SETTINGS: dict[str, Any] = {
    "API_TITLE": "Usher",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/docs/files/",
    "API_SPEC_OPTIONS": {
        "info": {"description": ABOUT},
        "components": {"securitySchemes": SCHEMES},
    },
}


class Converter(OpenAPIConverter):
    """apispec's converter, with enumerations by name and descriptions that repeat from a table."""

    def field2property(self, field: fields.Field[Any]) -> dict[str, Any]:
        found: dict[str, Any] = super().field2property(field)
        for name in ("x-minimum", "x-maximum"):  # bounds of times, which JSON Schema has not
            found.pop(name, None)
        if isinstance(field, fields.Decimal):  # Flask writes decimals as strings
            numbers = {"minimum", "maximum", "default"} & found.keys()
            found |= {name: float(found[name]) for name in numbers}
        if enumeration := getattr(field, "enumeration", None):
            found = self._name_enumeration(enumeration, found, nullable=bool(field.allow_none))
        if schemas := getattr(field, "schemas", ()):
            del found["type"]
            resolve: Any = self.resolve_nested_schema
            found["anyOf"] = [resolve(schema) for schema in schemas]
        known = FIELDS.get(field.data_key or field.name or "")
        if known and isinstance(field.parent, Schema):
            found.setdefault("description", known)
        return found

    def _name_enumeration(
        self, enumeration: Enumeration, found: dict[str, Any], *, nullable: bool
    ) -> dict[str, Any]:
        components = self.spec.components
        if enumeration.name not in components.schemas:
            words: dict[str, Any] = {"type": "string", "enum": list(enumeration.words)}
            words["x-enum-varnames"] = enumeration.names
            components.schema(enumeration.name, words | {"description": enumeration.description})
        ref = {"$ref": f"#/components/schemas/{enumeration.name}"}
        kept = {name: found[name] for name in ("description", "default") if name in found}
        return kept | ({"anyOf": [ref, {"type": "null"}]} if nullable else ref)

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        found: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if about := vars(type(schema)).get("__doc__"):
            found["description"] = " ".join(about.split())
        return found


class Plugin(MarshmallowPlugin):
    Converter = Converter


class Rules(BasePlugin):
    """What follows by rules from the operations that views describe."""

    def path_helper(
        self,
        path: str | None = None,
        operations: dict[str, Any] | None = None,
        parameters: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Describe the parameters of a path."""
        for parameter in parameters or []:
            if parameter["name"] in PATHS:
                parameter.setdefault("description", PATHS[parameter["name"]])

    def operation_helper(
        self,
        path: str | None = None,
        operations: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Give operations their ids and errors."""
        endpoint: str = kwargs["rule"].endpoint
        for operation in (operations or {}).values():
            operation.setdefault("operationId", camel_case(endpoint.rpartition(".")[2]))
            responses = operation["responses"]
            found = set(list_statuses(path or "", operation, limited=endpoint not in UNLIMITED))
            for status in sorted(found - set(responses)):
                responses[int(status)] = status.name


def camel_case(name: str) -> str:
    """An operation's name, from that of its view: add_venue becomes addVenue."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


class UsherApi(Api):
    """flask-smorest's Api without its error handlers (web/support/errors.py has ours)."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        pass

    def _register_responses(self) -> None:
        for status, meaning in MEANINGS.items():
            response = {"description": meaning, "schema": Problem}
            prepare_response(response, self.spec, PROBLEM_JSON)
            self.spec.components.response(status.name, response, lazy=True)

    def describe_live(self, rule: str, name: str, operation: dict[str, Any]) -> None:
        """Describe a GET of the live process, which this process does not serve."""
        bound = Rule(rule, endpoint=f"live.{name}", defaults={})
        bound.bind(self._app.url_map)
        server = {
            "url": settings().live_url or settings().public_url,
            "description": "the live process",
        }
        self.spec.path(
            rule=bound,
            operations={"get": {"servers": [server], "tags": ["live"]} | operation},
            parameters=[],
        )

    def describe_schema(self, schema: type[Schema]) -> dict[str, str]:
        """Add a schema that no view answers with, and return a reference to it."""
        self.spec.components.schema(schema.__name__, schema=schema)
        return {"$ref": f"#/components/schemas/{schema.__name__}"}


def describe(app: Flask) -> UsherApi:
    """Make the API object with which blueprints are registered."""
    app.config.update(SETTINGS)
    app.url_map.converters["id"] = IdConverter
    app.register_blueprint(files)
    api = UsherApi(app, spec_kwargs={"marshmallow_plugin": Plugin(), "extra_plugins": [Rules()]})
    api.register_converter(
        IdConverter,
        lambda _: {"type": "integer", "format": "int64", "minimum": 1, "maximum": BIGGEST_ID},
    )
    return api
