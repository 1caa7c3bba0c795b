"""The client's address, as what limits are counted by: one customer's network has one name, however
it is written."""

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from flask import request

from db.runtime.settings import settings
from web.support.signing import key_for

OWN_NETWORK = 64  # bits: the smallest network of an IPv6 customer
SHIFT = 128 - OWN_NETWORK
UNKNOWN = "unknown"
TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits


def network_of(given: str) -> str:
    """The IPv4 address, or the IPv6 network, of an address as proxies write it: with a port, in
    brackets, with a zone, or mapped into IPv6. What is none is `unknown`, for all of them together.
    """
    try:
        address = ip_address(_without_port(given.strip()))
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        inside = _ipv4_inside(address)
        network = IPv6Address(int(address) >> SHIFT << SHIFT)
        return str(inside) if inside else f"{network}/{OWN_NETWORK}"
    return str(address)


def _without_port(given: str) -> str:
    if given.startswith("["):
        return given[1:].partition("]")[0].partition("%")[0]
    if given.count(":") == 1:  # an IPv6 address has two or more
        return given.partition(":")[0]
    return given.partition("%")[0]


def _ipv4_inside(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None


def forwarded_address(header: str, peer: str, proxies: int) -> str:
    """The network of the client whom `proxies` proxies of ours have seen. header: X-Forwarded-For,
    whose last entries are theirs and whose first ones are what the client has sent."""
    entries = [entry for entry in header.split(",") if entry.strip()]
    return network_of(entries[-proxies] if 0 < proxies <= len(entries) else peer)


def client() -> str:
    """The network of the client of this request; ProxyFix has read X-Forwarded-For."""
    return network_of(request.remote_addr or "")


def is_within(given: str | None, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address, as proxies write it, is in one of the networks."""
    try:
        address = ip_address(_without_port((given or "").strip()))
    except ValueError:
        return False
    inside = _ipv4_inside(address) if isinstance(address, IPv6Address) else None
    return any(found in network for network in networks for found in (address, inside) if found)


def client_hash() -> bytes | None:
    """A hash by which payments from one address are recognised without storing it. None if the
    settings do not say how to find buyers' addresses, so that all would have the same.
    """
    if not settings().trusted_proxies:
        return None
    return hmac.digest(key_for("address"), client().encode(), "sha256")[:16]
