"""The process of a crowd, which shares only the service's URL with the service.

It prints a JSON object a second about its buyers' progress. Before it ends, it writes what each
buyer was told to a file (`told`).
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from ops.crowd.api import Api, Asked
from ops.local.supervisor import ROOT

TIMEOUT = aiohttp.ClientTimeout(total=30)

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


@asynccontextmanager
async def asking(web_url: str, connections: int) -> AsyncIterator[Api]:
    """An Api for all buyers of a crowd, over that many connections."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        yield Api(session, web_url)


@asynccontextmanager
async def asking_from(
    web_url: str, connections: int, addresses: Sequence[str]
) -> AsyncIterator[list[Api]]:
    """An Api for the buyers at each address; all together have so many requests under way."""
    asked, slots = Asked(), asyncio.Semaphore(connections)
    async with AsyncExitStack() as open_ones:
        apis = []
        for address in addresses:
            connector = aiohttp.TCPConnector(local_addr=(address, 0), keepalive_timeout=15)
            session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
            apis.append(Api(await open_ones.enter_async_context(session), web_url, asked, slots))
        yield apis


async def tell(progress: Callable[[], bytes]) -> None:
    """Print the progress once a second, until cancelled."""
    while True:
        print(progress().decode(), flush=True)
        await asyncio.sleep(1)
