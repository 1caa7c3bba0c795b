"""Notifications that are answered before Flask: nothing in answer, metrics or log shows it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from psycopg_pool import PoolTimeout

from db.connections import Conn
from db.runtime.logs import configure_logs
from tests.support.notifying import PATH, send, send_bytes
from tests.support.world import Answer, Caller, Sale, pay
from web.notifications import fast_path
from web.notifications.reading import MAX_BODY


@pytest.fixture
def event(tosca: Sale, alice: Caller, conn: Conn) -> dict[str, Any]:
    """News of a payment."""
    booking = tosca.book(alice, conn)
    id = pay(tosca, alice, booking).json["payment"]["id"]
    thing = {"id": "pi_1", "object": "payment_intent", "status": "requires_capture",
             "metadata": {"payment_id": id}}  # fmt: skip
    type = "payment_intent.amount_capturable_updated"
    return {"id": "evt_1", "type": type, "data": {"object": thing}}


def padded(event: dict[str, Any], size: int) -> bytes:
    body = json.dumps(event | {"padding": ""}).encode()
    return body[:-2] + b"x" * (size - len(body)) + body[-2:]


Send = Callable[[Caller, dict[str, Any]], Answer]
FAST: dict[str, Send] = {
    "news": send,
    "what is known": lambda caller, event: send(caller, with_status(event, "requires_action")),
    "what is not ours": lambda caller, event: send(caller, with_metadata(event, {})),
    "a type that says nothing": lambda caller, event: send(caller, event | {"type": "x"}),
    "a long body": lambda caller, event: send_bytes(caller, padded(event, MAX_BODY)),
}
SLOW: dict[str, Send] = {
    "a body that is too long": lambda c, event: send_bytes(c, padded(event, MAX_BODY + 1)),
    "another secret": lambda caller, event: send(caller, event, secret="whsec_other"),
    "an old signature": lambda caller, event: send(caller, event, age=301),
    "an old signature of a type that says nothing": lambda caller, event: send(
        caller, event | {"type": "x"}, age=301
    ),
    "no signature": lambda caller, event: caller.post(PATH, event),
    "no body": lambda caller, _: send_bytes(caller, b""),
    "no JSON": lambda caller, _: send_bytes(caller, b"{"),
    "no object": lambda caller, _: send_bytes(caller, b"[]"),
    "a type that is none": lambda caller, event: send(caller, event | {"type": []}),
    "no id": lambda caller, event: send(caller, event | {"id": 7}),
    "text that cannot be stored": lambda caller, event: send(caller, event | {"more": "\0"}),
    "a number that cannot be stored": lambda caller, event: send(
        caller, event | {"more": float("inf")}
    ),
    "UTF-16": lambda caller, event: send_bytes(caller, json.dumps(event).encode("utf-16")),
    "another method": lambda caller, _: caller.get(PATH),
    "another path": lambda caller, event: caller.post(f"{PATH}/", event),
}


def with_status(event: dict[str, Any], status: str) -> dict[str, Any]:
    return event | {"data": {"object": event["data"]["object"] | {"status": status}}}


def with_metadata(event: dict[str, Any], metadata: dict[str, str]) -> dict[str, Any]:
    thing = {**event["data"]["object"], "id": "pi_other", "metadata": metadata}
    return event | {"data": {"object": thing}}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether notifications were taken before Flask."""
    found: list[bool] = []

    def take(
        body: bytes, header: str, signer: int | None, real: Any = fast_path.take_at_once
    ) -> bool:
        found.append(real(body, header, signer))
        return found[-1]

    monkeypatch.setattr(fast_path, "take_at_once", take)
    return found


@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_both_ways_give_the_same(
    anybody: Caller,
    event: dict[str, Any],
    conn: Conn,
    taken: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    conn.execute("update payments set state = 'requires_action', gateway_ref = 'pi_1'")
    anybody.get("/healthz")  # so that the counters are there
    configure_logs("web")  # anew, onto what capsys reads
    ask = (FAST | SLOW)[name]
    past = seen(anybody, conn, capsys, lambda: ask(anybody, event))
    assert any(taken) == (name in FAST)
    monkeypatch.setattr(fast_path, "read_body", lambda environ: None)
    assert past == seen(anybody, conn, capsys, lambda: ask(anybody, event))


def seen(
    anybody: Caller, conn: Conn, capsys: pytest.CaptureFixture[str], ask: Callable[[], Answer]
) -> list[Any]:
    """All that can be seen of a request: the answer, what was stored, metrics and log."""
    conn.execute("delete from outbox")
    conn.execute("delete from notification_inbox")
    before = counts(anybody)
    capsys.readouterr()
    answer = ask()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        for name in ("ms", "timestamp", "request_id"):
            assert line.pop(name, None) or line["event"] != "request"
    after = counts(anybody)
    counted = {key: after[key] - before.get(key, 0) for key in after}
    headers = {k: v for k, v in answer.headers.items() if k != "X-Request-Id"}
    members = {k: v for k, v in (answer.json or {}).items() if k != "request_id"}
    tasks = conn.execute("select actor, key, args from outbox").fetchall()
    inbox = conn.execute("select id, payment_id from notification_inbox").fetchall()
    changed = {key: more for key, more in counted.items() if more}
    return [answer.status_code, headers, members, tasks, inbox, changed, lines]


def counts(anybody: Caller) -> dict[str, float]:
    """Of requests but those to /metrics, by series."""
    pattern = r"^(usher_http_request_(?:total|duration_seconds_count)\{.*\}) (\S+)$"
    found = re.findall(pattern, anybody.get("/metrics").text, re.MULTILINE)
    return {series: float(value) for series, value in found if "/metrics" not in series}


def test_the_request_id_is_the_trace_of_its_task(
    anybody: Caller, event: dict[str, Any], conn: Conn
) -> None:
    conn.execute("delete from outbox")
    anybody.client.environ_base["HTTP_X_REQUEST_ID"] = "of-the-proxy"
    assert send(anybody, event).headers["X-Request-Id"] == "of-the-proxy"
    (task,) = conn.execute("select trace from outbox").fetchall()
    assert task["trace"] == "of-the-proxy"


def test_an_error_of_the_database_is_answered_by_flask(
    anybody: Caller, event: dict[str, Any], taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise PoolTimeout("away")

    monkeypatch.setattr(fast_path, "own_connection", fail)
    assert send(anybody, event).status_code == 200
    assert taken == [False]
