"""The description at /openapi.json is true and whole, and /docs renders it without anybody else's
host."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import validate

from tests.support.document import Document
from tests.support.world import Caller
from web.live.server import create_app
from web.live.streams import Hub

PUBLIC = {
    "addAccount",
    "addToken",
    "refreshTokens",
    "askSignIn",
    "signInByPasskey",
    "listEvents",
    "getChart",
    "getAvailability",
    "getBitmap",
    "getCompactChart",
    "getQueue",
    "getLobby",
    "getLobbyList",
    "getLobbyOrder",
}
UNDESCRIBED = {
    "/docs",
    "/docs/files/",
    "/docs/files/{path}",
    "/docs/files/dist/{path}",
    "/healthz",
    "/invitation",
    "/metrics",
    "/openapi.json",
    "/pages/{filename}",
    "/passkeys",
    "/payment-result",
    "/sign-in",
    "/sign-in/oidc/{organisation_id}",
    "/sign-in/oidc/{organisation_id}/callback",
    "/readyz",
}
"""For browsers and machines of the operator."""


@pytest.mark.slow
@pytest.mark.faults("OpenAPI")
def test_the_document_is_valid(document: Document) -> None:
    validate(document.whole)


def bounds(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name in ("minimum", "maximum", "multipleOf"):
                yield name, value
            yield from bounds(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from bounds(value)


def test_bounds_of_numbers_are_numbers(document: Document) -> None:
    found = list(bounds(document.whole))
    assert len(found) > 100
    assert [pair for pair in found if type(pair[1]) not in (int, float)] == []
    rate = document.schemas["NewPrice"]["properties"]["tax_rate"]
    assert (rate["minimum"], rate["maximum"], rate["default"]) == (0, 1, 0)


def test_every_route_is_described(app: Flask, document: Document) -> None:
    described = {(op.method, op.path) for op in document.operations.values() if not op.is_live}
    routes = {
        (method, path)
        for rule in app.url_map.iter_rules()
        if (path := re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)) not in UNDESCRIBED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_every_stream_is_described(document: Document) -> None:
    described = {shape(op.path) for op in document.operations.values() if op.is_live}
    served = {
        shape(route.resource.canonical)
        for route in create_app(Hub()).router.routes()
        if route.resource is not None
    }
    assert described == {path for path in served if path.startswith("/v1/")}
    for operation in document.operations.values():
        if operation.is_live:
            (server,) = operation.described["servers"]
            assert server["url"].startswith("http")


def shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document: Document) -> None:
    paths = document.whole["paths"].values()
    count = sum(len(item.keys() - {"parameters"}) for item in paths)
    assert len(document.operations) == count
    for name, operation in document.operations.items():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name), name
        assert operation.described["summary"].endswith("."), name
    tags = {tag["name"]: tag["description"] for tag in document.whole["tags"]}
    assert all(tags.values())
    assert {tag for op in document.operations.values() for tag in op.described["tags"]} <= set(tags)


def test_only_these_operations_need_no_token(document: Document) -> None:
    assert {name for name, op in document.operations.items() if not op.security} == PUBLIC


def test_every_operation_describes_an_answer_of_success(document: Document) -> None:
    for name, operation in document.operations.items():
        good = [status for status in operation.responses if status.startswith("2")]
        assert good, name
        for status in good:
            content = document.content_of(operation, int(status))
            has_none = status in ("204", "304") or name == "cancelBooking"
            assert bool(content) != has_none, (name, status)
            for media in content.values():
                schema = document.resolve(media["schema"])
                assert schema["type"] in ("object", "array", "string"), (name, status)
                assert schema["type"] != "object" or schema["properties"], (name, status)


def test_errors_are_described_as_problems(document: Document) -> None:
    for name, operation in document.operations.items():
        bad = {status for status in operation.responses if status[0] in "45"}
        assert "default" not in operation.responses
        assert {"500", "503"} <= bad, name
        for status in bad:
            (media,) = document.content_of(operation, int(status)).items()
            assert media[0] == "application/problem+json", (name, status)
            assert media[1]["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_errors_follow_from_what_an_operation_has(document: Document) -> None:
    for name, operation in document.operations.items():
        described = {int(status) for status in operation.responses}
        if operation.schemes & {"buyer", "api_key", "operator_key", "queue_ticket"}:
            assert 401 in described, name
        if operation.names:
            assert 404 in described, name
        if operation.needs_key:
            assert {400, 409, 422} <= described, name
        if "requestBody" in operation.described:
            assert {400, 413} <= described, name


def lacks(document: Document) -> Iterator[str]:
    """What is not described, as paths in the document."""
    for name, operation in document.operations.items():
        for parameter in operation.described["parameters"]:
            if not document.resolve(parameter).get("description"):
                yield f"{name} ?{parameter['name']}"
    for name, schema in document.schemas.items():
        if not schema.get("description"):
            yield name
        for field, described in schema.get("properties", {}).items():
            if not described.get("description") and "$ref" not in described:
                yield f"{name}.{field}"


@pytest.mark.faults("OpenAPI")
def test_every_field_and_parameter_is_described(document: Document) -> None:
    assert list(lacks(document)) == []


def test_a_description_says_what_null_means(document: Document) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document.schemas.items()
        if schema.get("required")
        for field, described in schema.get("properties", {}).items()
        if "null" in str(described.get("type", ""))
        and field in schema["required"]
        and "null" not in described["description"]
    ]
    assert silent == []


def test_answers_always_have_their_fields(document: Document) -> None:
    """All but the few that are said to be missing sometimes."""
    sometimes = {
        f"{name}.{field}"
        for name in answered(document)
        for field in document.schemas[name].get("properties", {})
        if field not in document.schemas[name].get("required", [])
    }
    assert {path for path in sometimes if path.split(".")[0] not in ("Problem", "Line")} == {
        *(
            f"{name}.{field}"
            for name in ("Tokens", "AccountWithTokens")
            for field in ("token", "refresh_token", "csrf_token")
        ),
        "Attempt.times",
        "Attempt.last_at",
        "IssuedReceipt.seller_address",
        "IssuedReceipt.seller_vat_id",
        "IssuedReceipt.reason",
        "IssuedReceipt.fees",
        "IssuedReceipt.booking_fee",
    }


def answered(document: Document) -> set[str]:
    """The schemas that are part of an answer."""
    found: set[str] = set()
    todo: list[Any] = [
        document.resolve(response)
        for operation in document.operations.values()
        for response in operation.responses.values()
    ]
    while todo:
        thing = todo.pop()
        if isinstance(thing, dict):
            name = str(thing.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                todo.append(document.schemas[name])
            todo.extend(thing.values())
        elif isinstance(thing, list):
            todo.extend(thing)
    return found


def test_every_body_has_an_example_that_it_allows(document: Document) -> None:
    for name, operation in document.operations.items():
        if "requestBody" in operation.described and operation.schemes != {"gateway_signature"}:
            content = operation.described["requestBody"]["content"]["application/json"]
            assert document.errors_in(content["schema"], content["example"]) == [], name


NONSENSE = "01890000-0000-7000-8000-000000000000"
EMPTY_IS_RIGHT = {"removePassword"}
HARMLESS = (
    "beginSecondFactor",
    "exportOwnData",
    "getMe",
    "getOwnErasure",
    "getSecondFactor",
    "getSession",
    "listMemberships",
    "listPasskeys",
    "listSessions",
    "endSessions",
    "listBookings",
    "listVenues",
    "listEvents",
    "listReceipts",
    "readFeed",
    "withdrawOwnErasure",
    "getOwnExport",
    "requestOwnExport",
)


def filled(path: str) -> str:
    path = re.sub(r"\{(entry|booking|ticket|refund)_id\}", NONSENSE, path)
    return re.sub(r"\{name\}", "nonsense", re.sub(r"\{\w+_id\}", "999999", path))


@pytest.mark.parametrize(
    "body", [None, {}, {"nonsense": [1, {"a": None}]}, [], "nonsense", 7], ids=str
)
def test_nonsense_is_refused_everywhere(
    document: Document, anybody: Caller, alice: Caller, opera: Caller, body: Any
) -> None:
    callers = {"buyer": alice, "api_key": opera, "operator_key": opera}
    for name, operation in document.operations.items():
        if operation.is_live or (name in EMPTY_IS_RIGHT and body == {}):
            continue
        caller = next((callers[s] for s in operation.schemes if s in callers), anybody)
        sent = None if operation.method == "GET" else body
        answer = caller.call(operation.method, filled(operation.path), sent, key="key")
        if name in HARMLESS:
            assert answer.status_code in (200, 201, 202, 204)
        else:
            assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
            if answer.status_code != 415:  # said for all operations in the document's description
                assert document.errors_of(operation, answer) == [], name


def test_docs_come_from_this_host_alone(anybody: Caller) -> None:
    page = anybody.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/docs/files/")
        assert anybody.get(link).status_code == 200
    assert "/openapi.json" in page.text
