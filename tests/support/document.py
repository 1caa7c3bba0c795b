"""The OpenAPI document as tests read it: its operations, and whether an answer is as described."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator, FormatChecker

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """An operation of the document."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.described["operationId"])

    @property
    def security(self) -> list[dict[str, Any]]:
        """The ways to sign a request of it; none: it is public."""
        ways: list[dict[str, Any]] = self.described.get("security", [])
        return ways

    @property
    def schemes(self) -> set[str]:
        return {scheme for way in self.security for scheme in way}

    @property
    def is_live(self) -> bool:
        """Whether the live process serves it."""
        return "servers" in self.described

    @property
    def names(self) -> list[str]:
        """The parameters in its path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def responses(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.described["responses"]
        return found

    @property
    def example(self) -> Any:
        """The example of its body. None: it takes none."""
        content = self.described.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("example")

    @property
    def needs_key(self) -> bool:
        return any(p["name"] == "Idempotency-Key" for p in self.described.get("parameters", []))


@dataclass
class Document:
    """The whole document."""

    whole: dict[str, Any]
    validators: dict[str, Draft202012Validator] = field(default_factory=dict)

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """By their ids."""
        return {operation.id: operation for operation in self._operations()}

    def _operations(self) -> Iterator[Operation]:
        for path, item in self.whole["paths"].items():
            shared = item.get("parameters", [])
            for method in METHODS:
                if method in item:
                    described = dict(item[method])
                    described["parameters"] = [*shared, *described.get("parameters", [])]
                    yield Operation(method.upper(), path, described)

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.whole["components"]["schemas"]
        return found

    def resolve(self, thing: dict[str, Any]) -> dict[str, Any]:
        """The thing, or what it refers to."""
        while "$ref" in thing:
            found: Any = self.whole
            for step in thing["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            thing = found
        return thing

    def content_of(self, operation: Operation, status: int) -> dict[str, Any]:
        """The described content of an answer, by its media type."""
        assert str(status) in operation.responses, f"{operation.id} does not describe {status}"
        content: dict[str, Any] = self.resolve(operation.responses[str(status)]).get("content", {})
        return content

    def errors_of(self, operation: Operation, answer: Any) -> list[str]:
        """What is not as described in an answer."""
        content = self.content_of(operation, answer.status_code)
        if not answer.data:
            return [] if not content else ["has no body"]
        if answer.mimetype not in content:
            return [f"{answer.mimetype} is not described"]
        if not answer.mimetype.endswith("json"):
            return []
        return self.errors_in(content[answer.mimetype]["schema"], answer.json)

    def errors_in(self, schema: dict[str, Any], value: Any) -> list[str]:
        found = self.validator(json.dumps(schema)).iter_errors(value)
        return [f"{error.json_path}: {error.message}" for error in found]

    def validator(self, schema: str) -> Draft202012Validator:
        """The validator of a schema, which is written as JSON; to make one takes time."""
        if schema not in self.validators:
            whole = {"components": self.whole["components"], **json.loads(schema)}
            self.validators[schema] = Draft202012Validator(whole, format_checker=FormatChecker())
        return self.validators[schema]


@pytest.fixture
def document(app: Flask) -> Document:
    answer = app.test_client().get("/openapi.json")
    return Document(answer.get_json())
