"""The process of a crowd, which shares only the service's URL with the service.

It prints a JSON object a second about its buyers' progress. Before it ends, it writes what each
buyer was told to a file (`told`).
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from ops.crowd.api import Api, Asked, Places
from ops.crowd.client import Client
from ops.local.supervisor import ROOT

Json = dict[str, Any]


@contextmanager
def crowd(module: str, web_url: str, results: Path, *options: str) -> Iterator[Iterator[Json]]:
    """Run a crowd until the block ends; yields what it prints, until it ends by itself."""
    command = [sys.executable, "-m", module, "--web", web_url, "--results", str(results), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield words(process)
        finally:
            process.terminate()
    if process.returncode:
        sys.exit(f"the crowd failed with exit code {process.returncode}")


def words(process: "subprocess.Popen[str]") -> Iterator[Json]:
    assert process.stdout is not None
    yield from map(json.loads, process.stdout)
    process.wait()


@contextmanager
def asking(web_url: str, connections: int) -> Iterator[Api]:
    """An Api for all buyers of a crowd, which have so many requests under way."""
    with asking_from(web_url, connections, [None]) as [api]:
        yield api


@contextmanager
def asking_from(
    web_url: str, connections: int, addresses: Sequence[str | None]
) -> Iterator[list[Api]]:
    """An Api for the buyers at each address; all together have so many requests under way."""
    asked, places = Asked(), Places(connections)
    with ExitStack() as open_ones:
        apis = []
        for address in addresses:
            client = open_ones.enter_context(closing(Client(web_url, address)))
            apis.append(Api(client, asked, places))
        yield apis


async def tell(progress: Callable[[], bytes]) -> None:
    """Print the progress once a second, until cancelled."""
    while True:
        print(progress().decode(), flush=True)
        await asyncio.sleep(1)
