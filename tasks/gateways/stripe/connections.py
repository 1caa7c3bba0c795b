"""Connections to Stripe that all threads of a process share."""

from collections.abc import Mapping
from typing import Any

import stripe
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

CONNECTIONS = 100
"""Connections to the gateway that a process keeps open: as many as it makes calls at a time."""

TIMEOUT = urllib3.Timeout(connect=3, read=10)  # seconds


class KeptConnections(stripe.HTTPClient):
    """Stripe's requests on urllib3, whose connections all threads share. Stripe's own client sends
    them through requests, at twice the CPU time."""

    name = "urllib3"

    def __init__(self, base: str) -> None:
        super().__init__()
        self.pool = connections(base)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[Any, int, Mapping[str, str]]:
        """Errors: stripe.APIConnectionError."""
        try:
            answer = self.pool.request(
                method.upper(),
                url,
                body=post_data,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=TIMEOUT,
            )
        except urllib3.exceptions.HTTPError as error:
            why = f"{type(error).__name__}: {error}"
            raise stripe.APIConnectionError(why) from error  # type: ignore[no-untyped-call]
        return answer.data, answer.status, answer.headers

    def close(self) -> None:
        self.pool.clear()


def connections(base: str) -> urllib3.PoolManager:
    """Connections to the gateway, through the proxy that the environment names for it. requests
    reads its address, since urllib3 needs a scheme and a password as it is."""
    options: dict[str, Any] = {"maxsize": CONNECTIONS, "ca_certs": stripe.ca_bundle_path}
    proxy = select_proxy(base, get_environ_proxies(base))
    if proxy is None:
        return urllib3.PoolManager(**options)
    proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
    headers = HTTPAdapter().proxy_headers(proxy)
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
