"""Wait for conditions instead of sleeping."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


def wait_until(condition: Callable[[], object], timeout: float = 10) -> None:
    """Return as soon as `condition()` is true; fail the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout} s"
        time.sleep(0.01)


@contextmanager
def in_thread(act: Callable[[], object]) -> Iterator["Future[object]"]:
    """Something that goes on beside the block; it must have ended well within 10 s after."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(act)
        yield future
        future.result(timeout=10)
