"""Requests to identity providers, whose addresses organisations name.

They go to public addresses alone (the address that was looked up is the one that is connected to),
follow no redirect, use no proxy, and read so many bytes in so many seconds. They are made by
threads of their own: a provider that is slow keeps a request waiting for some seconds, its own
organisation's next one is turned away, and all other sign-ins go on.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from threading import Lock
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from db.connections import refuse_transaction
from db.runtime.errors import Busy
from db.runtime.settings import settings

SECONDS = 5.0
"""For all that one step of a sign-in asks."""
CONNECT, READ = 2.0, 3.0  # seconds
MOST_BYTES = 262144
THREADS = 4
OF_ONE = 2
"""So many calls of one organisation may be under way in a process."""

log = structlog.get_logger()
T = TypeVar("T")


class ProviderAway(Exception):
    """The provider cannot be reached, is too slow, or answers what it should not."""


class ProviderRefuses(Exception):
    """The provider says no to what it was asked."""


class Calls:
    """The threads that call, and how many calls of each organisation are under way."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="oidc")
        self._under_way: Counter[int] = Counter()
        self._lock = Lock()

    def do(self, organisation_id: int, work: Callable[[], T]) -> T:
        """Do work that calls an organisation's provider. Errors: Busy, ProviderAway,
        ProviderRefuses."""
        refuse_transaction()
        self._enter(organisation_id)
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._leave(organisation_id))
        try:
            return future.result(timeout=SECONDS)
        except OAuthError as error:
            raise ProviderRefuses(str(error.error)) from error
        except (TookTooLong, requests.RequestException, ValueError, TypeError, KeyError) as error:
            kind = type(error).__name__
            log.warning("identity provider away", organisation_id=organisation_id, error=kind)
            raise ProviderAway(kind) from error

    def _enter(self, organisation_id: int) -> None:
        """Errors: Busy."""
        with self._lock:
            if self._under_way[organisation_id] >= OF_ONE or self._under_way.total() >= THREADS:
                raise Busy("Too many are signing in there: try again shortly.")
            self._under_way[organisation_id] += 1

    def _leave(self, organisation_id: int) -> None:
        with self._lock:
            self._under_way[organisation_id] -= 1
            if not self._under_way[organisation_id]:
                del self._under_way[organisation_id]


calls = Calls()


class Adapter(IPFilterAdapter):
    """Sends a request to a public address, and reads its answer within limits."""

    def __init__(self, scheme: str) -> None:
        is_loopback_allowed = settings().oidc_addresses == "loopback"
        super().__init__(scheme == "https", allow_loopback=is_loopback_allowed)

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        limits = {"stream": True, "timeout": (CONNECT, READ), "proxies": None}
        answer: requests.Response = super().send(request, **given | limits)
        if answer.is_redirect:
            answer.close()
            raise requests.TooManyRedirects("an identity provider's endpoints do not redirect")
        answer._content = _read(answer)
        return answer


def _read(answer: requests.Response) -> bytes:
    """Errors: requests.RequestException."""
    give_up_at, read = monotonic() + SECONDS, b""
    for part in answer.iter_content(8192):
        read += part
        if len(read) > MOST_BYTES or monotonic() > give_up_at:
            answer.close()
            raise requests.Timeout("the answer is too long, or too slow")
    return read


def client(**known: Any) -> OAuth2Session:
    """A client of one provider; see Authlib's OAuth2Session."""
    made = OAuth2Session(scope="openid email", code_challenge_method="S256", **known)
    made.trust_env = False
    made.adapters.clear()
    made.mount("https://", Adapter("https"))
    if settings().oidc_addresses == "loopback":
        made.mount("http://", Adapter("http"))
    return made


def get_json(of: OAuth2Session, url: str) -> dict[str, Any]:
    """Get a JSON object. Errors: requests.RequestException, ValueError."""
    answer = of.request("GET", url, withhold_token=True, allow_redirects=False)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def check_address(url: object) -> str:
    """An address that a provider names: https, or as the setting allows. Errors: ValueError."""
    schemes = ("https", "http") if settings().oidc_addresses == "loopback" else ("https",)
    if not isinstance(url, str) or urlsplit(url).scheme not in schemes:
        raise ValueError("no address of a provider")
    return url
