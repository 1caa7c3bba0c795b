"""What a stack remembers from one run to the next, in a file of its own: secrets and ports."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


class Kept:
    """Values by name, written as soon as one is added. Without a path nothing is remembered."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        if path and path.exists():
            self.values = json.loads(path.read_text())

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The value of an earlier run, else a new one."""
        if name not in self.values:
            self.put(name, make())
        return self.values[name]

    def put(self, name: str, value: Any) -> None:
        self.values[name] = value
        if self.path:
            self.path.touch(mode=0o600)
            self.path.write_text(json.dumps(self.values, indent=1) + "\n")

    def port(self, name: str, make: Callable[[], int]) -> int:
        """The port of an earlier run if it is free, else a new one."""
        if not can_listen(HOST, self.get(name, make)):
            self.put(name, make())
        port: int = self.values[name]
        return port


def can_listen(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
