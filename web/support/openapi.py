"""The API's description at /openapi.json, and a page that renders it with local files."""

import http
from typing import Any

from flask import Flask
from flask_smorest import Api
from flask_smorest.utils import prepare_response
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import Schema, fields

from web.support.blueprint import IdConverter
from web.support.fields import BIGGEST_ID

files = get_swaggerui_blueprint("/docs/files", "/openapi.json", blueprint_name="docs")

SETTINGS: dict[str, Any] = {
    "API_TITLE": "Usher",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/docs/files/",
    "API_SPEC_OPTIONS": {
        "info": {"description": "Sells every seat exactly once."},
        "components": {
            "securitySchemes": {
                "buyer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "queue_ticket": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "http", "scheme": "bearer", "bearerFormat": "usk_…"},
            }
        },
    },
}


class FieldProblem(Schema):
    location = fields.String()
    path = fields.String()
    message = fields.String()


class Problem(Schema):
    """RFC 9457."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String()
    request_id = fields.String()
    errors = fields.List(fields.Nested(FieldProblem))
    conflict_reason = fields.String()
    retry_after = fields.Integer(metadata={"description": "seconds"})


class UsherApi(Api):
    """flask-smorest's Api without its error handlers (web/support/errors.py has ours)."""

    def _register_error_handlers(self) -> None:
        pass

    def _register_responses(self) -> None:
        for name, text in [(s.name, s.phrase) for s in http.HTTPStatus] + [
            ("DEFAULT_ERROR", "An error")
        ]:
            response = {"description": text, "schema": Problem}
            prepare_response(response, self.spec, "application/problem+json")
            self.spec.components.response(name, response, lazy=True)


def describe(app: Flask) -> UsherApi:
    """Make the API object with which blueprints are registered."""
    app.config.update(SETTINGS)
    app.url_map.converters["id"] = IdConverter
    app.register_blueprint(files)
    api = UsherApi(app)
    api.register_converter(
        IdConverter,
        lambda _: {"type": "integer", "format": "int64", "minimum": 1, "maximum": BIGGEST_ID},
    )
    return api
