"""The client's address."""

import hmac
from ipaddress import IPv6Address, ip_address

from flask import request

from db.runtime.settings import settings

OWN_NETWORK = 64  # bits: the smallest network of an IPv6 customer


def client() -> str:
    """The client's IPv4 address, or its IPv6 network, in which one customer has all addresses."""
    given = request.remote_addr or ""
    try:
        address = ip_address(given)
    except ValueError:
        return given
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - OWN_NETWORK):x}::"
    return given


def client_hash() -> bytes | None:
    """A hash by which payments from one address are recognised without storing it. None if the
    settings do not say how to find buyers' addresses, so that all would have the same.
    """
    if not settings().trusted_proxies:
        return None
    key = settings().secret_key.encode()
    return hmac.digest(key, b"address of a payment\0" + client().encode(), "sha256")[:16]
