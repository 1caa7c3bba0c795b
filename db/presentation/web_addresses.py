"""Web addresses to which buyers are sent: read strictly, because browsers read them kindly."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCAL = ("localhost", "127.0.0.1", "::1")
PORTS = {"https": 443, "http": 80}
PLAIN = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # what RFC 3986 allows
TRICKS = re.compile(r"//|(^|/)\.{1,2}(/|$)|%(2e|2f|5c|25|0)", re.IGNORECASE)
"""Parts of a path that servers read in several ways: two slashes, dots, and encoded forms of dots,
slashes, percent signs and control characters."""


@dataclass(frozen=True)
class WebAddress:
    """An address in parts; host in lower case, port None: the scheme's own."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{host}{port}{self.path}{'?' if self.query else ''}{self.query}"

    def is_below(self, other: "WebAddress") -> bool:
        """Whether it is the other address, or one below its path."""
        mine, base = self.path or "/", other.path.rstrip("/")
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and (mine == base or mine.startswith(f"{base}/"))


def read_web_address(text: str) -> WebAddress:
    """Read an https address; http only to this machine. Errors: ValueError, with the reason."""
    if not PLAIN.fullmatch(text):
        raise ValueError("Write it in ASCII, without blanks: as https://xn--….example for others.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("It is no web address.") from error
    host = (parts.hostname or "").lower()
    if not host or not re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", host) or port == 0:
        raise ValueError("It has no host.")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOCAL):
        raise ValueError("It must begin with https://.")
    if "@" in parts.netloc or "#" in text:
        raise ValueError("It must have no user and no fragment (#).")
    if TRICKS.search(parts.path):
        raise ValueError("Its path must be plain: no //, no dots as names, none of them encoded.")
    own = None if port == PORTS[parts.scheme] else port
    return WebAddress(parts.scheme, host, own, parts.path, parts.query)
