"""Form-encoded parameters, as Stripe's libraries send them, and their checks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from ops.sandbox.stripe.errors import invalid

Params = dict[str, Any]

# Accepted at every call, and without an effect where the call has no use for them.
COMMON = frozenset({"expand", "metadata"})


def parse(encoded: str) -> Params:
    """`a[b]=1&c[]=2` becomes `{"a": {"b": "1"}, "c": {"0": "2"}}`."""
    tree: Params = {}
    for path, value in parse_qsl(encoded, keep_blank_values=True):
        put(tree, path, value)
    return tree


def put(tree: Params, path: str, value: str) -> None:
    if "[" not in path:
        tree[path] = value
        return
    head, *keys = path.replace("]", "").split("[")
    node = tree
    for key in keys:
        child = node.setdefault(head, {})
        if not isinstance(child, dict):
            raise invalid(f"Invalid object: {path}", param=path)
        node, head = child, key or str(len(child))
    node[head] = value


def check_names(params: Params, known: Collection[str]) -> None:
    """Refuse parameters that the call does not have, as Stripe does."""
    unknown = [name for name in params if name not in known and name not in COMMON]
    if unknown:
        raise invalid(
            f"Received unknown parameter{'s' * (len(unknown) > 1)}: {', '.join(unknown)}",
            param=unknown[0],
            code="parameter_unknown",
        )


def text(params: Params, name: str, *, longest: int = 5000) -> str | None:
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", param=name)
    if len(value) > longest:
        raise invalid(f"Invalid string: must be at most {longest} characters", param=name)
    return value


def required(params: Params, name: str) -> str:
    value = text(params, name)
    if value is None:
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    return value


def integer(params: Params, name: str, *, least: int = 1) -> int | None:
    value = text(params, name)
    if value is None:
        return None
    # isdecimal() alone would take digits of other scripts.
    if not (value.isascii() and value.removeprefix("-").isdecimal()):
        raise invalid(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    if int(value) < least:
        raise invalid(
            f"This value must be greater than or equal to {least}.",
            param=name,
            code="parameter_invalid_integer",
        )
    return int(value)


def boolean(params: Params, name: str) -> bool:
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param=name)
    return bool(value == "true")


def choice(params: Params, name: str, allowed: tuple[str, ...]) -> str | None:
    value = text(params, name)
    if value is not None and value not in allowed:
        raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
    return value


def outcome(params: Params, allowed: tuple[str, ...]) -> str:
    """The end that an admin call chooses."""
    return choice(params, "outcome", allowed) or required(params, "outcome")


def listed(params: Params, name: str) -> tuple[str, ...]:
    value = params.get(name)
    if value is None or value == "":
        return ()
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise invalid("Invalid array", param=name)
    return tuple(value.values())


def metadata(params: Params, before: dict[str, str] | None = None) -> dict[str, str]:
    """The old pairs with the new ones laid over them; an empty value removes its key."""
    given = params.get("metadata", {})
    if given == "":
        return {}
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise invalid("Invalid metadata: it maps strings to strings.", param="metadata")
    if any(len(key) > 40 or len(value) > 500 for key, value in given.items()):
        raise invalid(
            "Metadata keys have at most 40 characters, values at most 500.", param="metadata"
        )
    merged = {k: v for k, v in {**(before or {}), **given}.items() if v != ""}
    if len(merged) > 50:
        raise invalid("Metadata has at most 50 keys.", param="metadata")
    return merged


def check_expansions(params: Params, known: Collection[str]) -> None:
    """Refuse names in `expand[]` that cannot be expanded here."""
    unknown = set(listed(params, "expand")) - set(known)
    if unknown:
        raise invalid(
            f"This property cannot be expanded ({', '.join(sorted(unknown))}).", param="expand"
        )
