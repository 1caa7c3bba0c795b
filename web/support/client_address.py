"""The address that a request comes from."""

import hmac
from ipaddress import IPv6Address, ip_address

from flask import request

from db.runtime.settings import settings

OWN_NETWORK = 64  # bits: what one IPv6 customer has at least


def client() -> str:
    """Who asks: an address, or an IPv6 network, in which one customer has all addresses."""
    given = request.remote_addr or ""
    try:
        address = ip_address(given)
    except ValueError:
        return given
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - OWN_NETWORK):x}::"
    return given


def client_hash() -> bytes | None:
    """Tells payments from one address apart without naming it; None where all
    requests would come from one, since it is not said how to tell buyers' addresses.
    """
    if not settings().trusted_proxies:
        return None
    key = settings().secret_key.encode()
    return hmac.digest(key, b"address of a payment\0" + client().encode(), "sha256")[:16]
