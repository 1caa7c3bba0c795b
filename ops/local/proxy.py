"""The proxy in front of the processes of this machine: Caddy, from a wheel (ops/local/Caddyfile).

It says from which address a request came, so that limits by address are real. On Linux all of
127.0.0.0/8 is this machine: clients have addresses of their own if they connect from them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from ops.local.kept import can_listen

CADDYFILE = Path(__file__).with_name("Caddyfile")
COMMAND = f'caddy run --adapter caddyfile --config "{CADDYFILE}"'

FIRST = IPv4Address("127.1.0.1")


def proxy_env(
    folder: Path, port: int, hosts: Sequence[str], web_url: str, live_url: str
) -> dict[str, str]:
    """The environment of the proxy's process, which listens at a port of `hosts`."""
    return {
        "PROXY_PORT": str(port),
        "PROXY_HOSTS": " ".join(hosts),
        "PROXY_WEB": web_url.removeprefix("http://"),
        "PROXY_LIVE": live_url.removeprefix("http://"),
        # It would write to the user's folders otherwise.
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }


def source_address(number: int) -> str:
    """An address of this machine from which the client of that number connects."""
    return str(FIRST + number)


def has_source_addresses() -> bool:
    """Whether clients can connect from addresses of their own: not on macOS."""
    return can_listen(source_address(0), 0)
