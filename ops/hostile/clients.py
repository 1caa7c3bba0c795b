"""Clients of the API, each at an address of its own, and requests that no library would send."""

import socket
from email.message import Message
from http.client import parse_headers
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

Json = dict[str, Any]
TIMEOUT_S = 30


class FromAddress(HTTPAdapter):
    """Connects from one of this machine's addresses."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(pool_maxsize=20)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(self.address, 0))


class Client:
    """One client: `client.get("/v1/events")`. Errors are answers, too."""

    def __init__(self, url: str, address: str) -> None:
        self.url, self.address = url, address
        self.token, self.id, self.email = "", 0, ""
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.mount("http://", FromAddress(address))

    def sign_up(self, email: str, name: str) -> None:
        """Make a guest's account. Errors: requests.HTTPError."""
        answer = self.post("/v1/accounts", {"email": email, "name": name})
        answer.raise_for_status()
        self.token, self.id, self.email = answer.json()["token"], answer.json()["id"], email

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, key: str = "", **more: Any) -> requests.Response:
        headers = more.pop("headers", {}) | ({"Idempotency-Key": key} if key else {})
        return self.ask("POST", path, json={} if body is None else body, headers=headers, **more)

    def delete(self, path: str) -> requests.Response:
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return self.http.request(
            method, self.url + path, headers=headers, timeout=more.pop("timeout", TIMEOUT_S), **more
        )


class Refused(Exception):
    """What an attack needs to begin with was refused, or what an honest client asked for."""


def done(answer: requests.Response, status: int = 201) -> requests.Response:
    """The answer, if it has this status. Errors: Refused."""
    if answer.status_code != status:
        raise Refused(f"{answer.request.path_url}: {answer.status_code} {answer.text[:200]}")
    return answer


def connect(url: str, address: str = "127.0.0.1") -> socket.socket:
    """A connection on which bytes can be sent as they are."""
    parts = urlsplit(url)
    return socket.create_connection(
        (parts.hostname or "", parts.port or 80), timeout=5, source_address=(address, 0)
    )


def answer_to(url: str, content: bytes, address: str = "127.0.0.1") -> tuple[int, Message]:
    """Status and headers of the answer to bytes; 0 if there is none before the connection ends."""
    with connect(url, address) as raw:
        try:
            raw.sendall(content)
            answer = raw.makefile("rb")
            words = answer.readline().split()
            return (int(words[1]), parse_headers(answer)) if len(words) > 1 else (0, Message())
        except OSError:
            return 0, Message()


def status_of(url: str, content: bytes, address: str = "127.0.0.1") -> int:
    return answer_to(url, content, address)[0]


def get_raw(url: str, target: str, *, host: str = "tickets.example", address: str) -> int:
    """The status of a request whose target is sent as it is: libraries normalise it otherwise."""
    head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return status_of(url, head.encode(), address)
