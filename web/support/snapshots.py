"""Snapshots: documents that are the same for all clients, made rarely by each process."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

Document = TypeVar("Document")

FAILURE_KEPT = 1.0
"""Seconds until the next try while the database is away. Without this, each request would wait
seconds for the database, until all threads of the process were waiting."""


@dataclass
class _Kept(Generic[Document]):
    made_at: float = 0.0
    document: Document | None = None
    making: Lock = field(default_factory=Lock)
    failure: Exception | None = None
    failed_at: float = 0.0

    def recent_failure(self) -> Exception | None:
        """The error of the last try, if it is recent."""
        return self.failure if monotonic() - self.failed_at < FAILURE_KEPT else None


class Snapshots(Generic[Document]):
    """Results of `make(id, earlier snapshot or None)`, made at most every `seconds` per id and kept
    for the `most` ids that were requested last. Ids of which `make` finds nothing take no place of
    those.

    While one thread makes a new snapshot, others get the old one; they wait only if there is none.
    An error of `make` goes to the request that called it. If the database is away, requests that
    waited, or that come within a second, get the error as well.
    """

    def __init__(
        self, make: Callable[[int, Document | None], Document], seconds: float, most: int
    ) -> None:
        self._make, self._seconds, self._most = make, seconds, most
        self._kept: OrderedDict[int, _Kept[Document]] = OrderedDict()
        self._new: OrderedDict[int, _Kept[Document]] = OrderedDict()
        self._lock = Lock()

    def get(self, id: int) -> Document:
        kept = self._find(id)
        document = kept.document
        if document is None:
            with kept.making:
                if failure := kept.recent_failure():
                    raise failure.with_traceback(None)
                return self._make_if_old(id, kept)
        if self._is_old(kept) and not kept.recent_failure() and kept.making.acquire(blocking=False):
            try:
                return self._make_if_old(id, kept)
            finally:
                kept.making.release()
        return document

    def peek(self, id: int) -> Document | None:
        """The document, if it is fresh enough for get() to return it without making a new one."""
        kept = self._kept.get(id)
        return kept.document if kept is not None and not self._is_old(kept) else None

    def forget(self, id: int) -> None:
        """Make the next one anew, since what it shows was changed."""
        with self._lock:
            self._kept.pop(id, None)

    def _find(self, id: int) -> _Kept[Document]:
        with self._lock:
            kept = self._kept.get(id)
            if kept is not None:
                self._kept.move_to_end(id)
                return kept
            kept = self._new.setdefault(id, _Kept())
            if len(self._new) > self._most:
                self._new.popitem(last=False)
            return kept

    def _keep(self, id: int, kept: _Kept[Document]) -> None:
        """Keep a document among the others: only now, since an id may name nothing."""
        with self._lock:
            self._new.pop(id, None)
            self._kept[id] = kept
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _is_old(self, kept: _Kept[Document]) -> bool:
        return monotonic() - kept.made_at >= self._seconds

    def _make_if_old(self, id: int, kept: _Kept[Document]) -> Document:
        if kept.document is None or self._is_old(kept):
            try:
                kept.document = self._make(id, kept.document)
            except (psycopg.OperationalError, PoolTimeout) as error:
                kept.failure, kept.failed_at = error, monotonic()
                raise
            is_new, kept.made_at, kept.failure = kept.made_at == 0, monotonic(), None
            if is_new:
                self._keep(id, kept)
        return kept.document
