"""The description at /openapi.json is true, and /docs renders it without anybody else's host."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.world import Answer, Caller, Sale

METHODS = ("get", "post", "put", "patch", "delete")
NONSENSE = "01890000-0000-7000-8000-000000000000"


def operations(anybody: Caller) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in anybody.get("/openapi.json").json["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method.upper(), path, operation


def filled(path: str) -> str:
    path = re.sub(r"\{(entry|booking|ticket|refund)_id\}", NONSENSE, path)
    return re.sub(r"\{name\}", "nonsense", re.sub(r"\{\w+_id\}", "999999", path))


def refused(answer: Answer) -> bool:
    return bool(400 <= answer.status_code < 500 and answer.mimetype == "application/problem+json")


def test_every_route_of_version_1_is_described(app: Flask, anybody: Caller) -> None:
    described = {(method, path) for method, path, _ in operations(anybody)}
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_every_operation_says_what_it_does_and_who_may(anybody: Caller) -> None:
    public = {
        ("POST", "/v1/accounts"),
        ("POST", "/v1/tokens"),
        ("GET", "/v1/events"),
        ("GET", "/v1/events/{event_id}"),
        ("GET", "/v1/events/{event_id}/seats"),
        ("GET", "/v1/events/{event_id}/availability"),
        ("GET", "/v1/events/{event_id}/queue"),
        ("GET", "/v1/events/{event_id}/lobby"),
        ("GET", "/v1/events/{event_id}/lobby/list"),
        ("GET", "/v1/events/{event_id}/lobby/order"),
    }
    for method, path, operation in operations(anybody):
        assert operation["summary"], (method, path)
        assert ("security" not in operation) == ((method, path) in public), (method, path)


def test_nobody_gets_further_than_the_door(anybody: Caller) -> None:
    for method, path, operation in operations(anybody):
        if "security" in operation:
            answer = anybody.call(method, filled(path))
            assert answer.status_code == 401, (method, path, answer.text)
            assert refused(answer)


@pytest.mark.parametrize(
    "body", [None, {}, {"nonsense": [1, {"a": None}]}, [], "nonsense", 7], ids=str
)
def test_nonsense_is_refused_everywhere(
    anybody: Caller, alice: Caller, opera: Caller, body: Any
) -> None:
    callers = {"buyer": alice, "api_key": opera}
    lists = ("/v1/me", "/v1/me/bookings", "/v1/venues", "/v1/events", "/v1/receipts")
    harmless = {("GET", path) for path in lists}
    for method, path, operation in operations(anybody):
        scheme = next(iter(operation.get("security", [{}])[0]), None)
        caller = callers.get(scheme or "", anybody)
        answer = caller.call(method, filled(path), None if method == "GET" else body, key="key")
        if (method, path) in harmless:
            assert answer.status_code == 200
        else:
            assert refused(answer), (method, path, answer.status_code, answer.text)


def test_errors_are_described_as_problems(anybody: Caller) -> None:
    document = anybody.get("/openapi.json").json
    for method, path, operation in operations(anybody):
        content = operation["responses"]["default"]["$ref"].split("/")[-1]
        described = document["components"]["responses"][content]["content"]
        assert list(described) == ["application/problem+json"], (method, path)


def test_answers_are_as_described(tosca: Sale, anybody: Caller) -> None:
    """The keys of an event are those of its schema."""
    schema = anybody.get("/openapi.json").json["components"]["schemas"]["Event"]
    assert set(anybody.get(tosca.path).json) == set(schema["properties"])


def test_docs_come_from_this_host_alone(anybody: Caller) -> None:
    page = anybody.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/docs/files/")
        assert anybody.get(link).status_code == 200
    assert "/openapi.json" in page.text
