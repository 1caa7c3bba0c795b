"""Attacks with addresses: one client who seems to be many, and /metrics for those it is not for."""

from collections.abc import Callable

from ops.hostile.clients import Client, get_raw
from ops.hostile.scene import Scene, at_once, wait_for_window
from ops.hostile.table import attack

TRIES = 160

LIMIT = 120
"""Sign-ins of an address in a minute: the class of routes with the smallest limit."""


def asked(n: int) -> dict[str, str]:
    """A request for a code; of another mailbox each time, since those have limits of their own."""
    return {"email": f"no-one-{n}@hostile.example"}


def forged_headers(n: int) -> dict[str, str]:
    """Headers by which proxies say who the client is, with another client each time."""
    address = f"203.0.{n // 250}.{n % 250 + 1}"
    forms = [
        {"X-Forwarded-For": address},
        {"X-Forwarded-For": f"{address}, 198.51.100.7"},
        {"X-Forwarded-For": f"{address}:{1024 + n}"},
        {"X-Forwarded-For": f"::ffff:{address}"},
        {"X-Forwarded-For": f"2001:db8:{n:x}::1"},
        {"X-Forwarded-For": f"[2001:db8:{n:x}::1]:443"},
        {"X-Forwarded-For": f", {address} ,"},
        {"X-Forwarded-For": f"unknown, {address}"},
        {"x-forwarded-for": address, "X-Real-IP": address, "True-Client-IP": address},
        {"Forwarded": f"for={address};proto=https", "Via": "1.1 proxy"},
        {"CF-Connecting-IP": address, "Fastly-Client-IP": address, "X-Client-IP": address},
        {"X-Forwarded-For": ",".join([address] * 50)},
        {"X-Forwarded-For": address, "Connection": "X-Forwarded-For"},
    ]
    return forms[n % len(forms)]


def forge(scene: Scene, client: Client) -> float:
    """Ask for sign-in codes under ever other addresses; how many are not refused."""
    return answered(client, forged_headers)


def answered(client: Client, headers_of: Callable[[int], dict[str, str]]) -> float:
    """Send so many requests within one window of the limit; how many are not refused."""
    wait_for_window(30)
    statuses = at_once(
        lambda n: client.post("/v1/tokens", asked(n), headers=headers_of(n)).status_code,
        range(TRIES),
        threads=4,
    )
    return sum(status != 429 for status in statuses)


@attack("X-Forwarded", "requests of one client that get through in a minute", LIMIT)
def forged_addresses(scene: Scene) -> float:
    """One client names another address with each request, in all headers that proxies use."""
    return forge(scene, scene.client())


def spell(scene: Scene, spellings: list[str]) -> float:
    """What a trusted proxy writes of one client; how many requests are not refused."""
    direct = scene.client(scene.stack.direct_url)
    return answered(direct, lambda n: {"X-Forwarded-For": spellings[n % len(spellings)]})


@attack("X-Forwarded", "requests of one client that get through in a minute", LIMIT)
def one_address_in_many_spellings(scene: Scene) -> float:
    """One IPv4 address as proxies write it: with ports, in brackets, mapped into IPv6."""
    ports = [f"198.51.100.77:{port}" for port in range(1024, 1064)]
    mapped = ["198.51.100.77", "::ffff:198.51.100.77", "::FFFF:c633:644d", "2002:c633:644d::1"]
    return spell(scene, [*ports, *mapped, "[::ffff:198.51.100.77]:443", "64:ff9b::198.51.100.77"])


@attack("X-Forwarded", "requests of one customer that get through in a minute", LIMIT)
def all_addresses_of_an_ipv6_network(scene: Scene) -> float:
    """One customer uses ever other addresses of the /64 that a provider gives to each."""
    return spell(scene, [f"2001:db8:7:7:{n:x}::{n * 7919 % 65536:x}" for n in range(1, TRIES + 1)])


METRICS = [
    "/metrics",
    "/metrics/",
    "//metrics",
    "/./metrics",
    "/%6detrics",
    "/metrics?x=1",
    "/v1/../metrics",
]


@attack("/metrics", "answers that show figures to others", 0)
def metrics_for_all(scene: Scene) -> list[str]:
    """The metrics of the web and live processes are asked for from outside, in other spellings and
    with headers that name an address of the private network."""
    shown = list[str]()
    for url in filter(None, (scene.stack.web_url, scene.nginx_url)):
        client = scene.client(url)
        shown += [
            f"{url}{target}"
            for target in METRICS
            if get_raw(url, target, address=client.address) == 200
        ]
        for headers in (
            {"X-Forwarded-For": "127.0.0.1"},
            {"Authorization": "Bearer "},
            {"X-Real-IP": "::1"},
        ):
            if b"usher_" in client.get("/metrics", headers=headers).content:
                shown.append(f"{url} with {headers}")
    return shown
