"""What gunicorn answers itself, since Usher never hears of the request; and when it closes a
connection."""

from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from db.connections import Conn
from ops.hostile.clients import answer_to, connect
from ops.hostile.protocol import HEAD, MALFORMED
from ops.local.servers import free_port
from tests.support.listening import answers
from tests.support.processes import environment_of, process
from tests.support.waiting import wait_until
from web.support.headers import LIVE

pytestmark = pytest.mark.processes

COMMAND = 'gunicorn -c python:web.gunicorn "web.app:create_app()"'
LONG = [
    b"GET /v1/events HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/events HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    b"g\x00t / HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.fixture
def url(configured: dict[str, str], conn: Conn, tmp_path: Path) -> Iterator[str]:
    """The web process as the Procfile has it."""
    port = free_port()
    env = environment_of(configured | {"PORT": str(port)})
    with process(f"{COMMAND} -b 127.0.0.1:{port}", env, tmp_path / "web.log"):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 30)
        yield f"http://127.0.0.1:{port}"


@pytest.mark.faults("headers")
def test_what_cannot_be_read_is_answered_like_all_errors(url: str) -> None:
    for content in LONG + MALFORMED:
        status, found = answer_to(url, content)
        if not status:
            continue  # it waits for the rest of a chunk
        assert 400 <= status < 500 or status == 501, content[-60:]
        assert found["Content-Type"] == "application/problem+json", content[-60:]
        assert {name: found[name] for name in LIVE} == LIVE, content[-60:]


@pytest.mark.faults("headers")
@pytest.mark.parametrize(
    ("length", "path", "closes"),
    [
        (1000, "/v1/accounts", False),
        (60_000, "/v1/venues/1/plans", False),
        (100_000, "/v1/accounts", True),
        (2_000_000, "/v1/venues/1/plans", True),
    ],
)
def test_an_answer_says_that_its_connection_ends(
    url: str, length: int, path: str, closes: bool
) -> None:
    """A body was left unread that is too long for gunicorn. Without a word the proxy would send
    another client's request there."""
    with connect(url) as raw:
        head = HEAD.replace(b"/v1/accounts", path.encode())
        raw.sendall(head + b"Content-Length: %d\r\n\r\n" % length + b" " * min(length, 60_000))
        answer = HTTPResponse(raw, method="POST")
        answer.begin()
        assert (400 <= answer.status < 500, answer.will_close) == (True, closes)
        if not closes:
            answer.read()
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert raw.recv(12) == b"HTTP/1.1 200"
