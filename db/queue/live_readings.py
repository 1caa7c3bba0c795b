"""Readings of the live process: each is read once a second, for all of its streams together."""

from collections.abc import Collection
from datetime import datetime
from typing import TypedDict, cast
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from db.accounts.accounts import EpochReading
from db.accounts.sessions import EndedReading
from db.catalogue.availability import QueueReading
from db.connections import session_options
from db.queries import load
from db.runtime.settings import settings

AsyncConn = AsyncConnection[DictRow]
Key = tuple[int, UUID]
"""An event, and an entry or a booking of it."""

sql = load("queue/live_readings")
availability = load("catalogue/availability")
accounts = load("accounts/accounts")
sessions = load("accounts/sessions")


class EntryReading(TypedDict):
    """The state of an entry."""

    id: UUID
    number: int
    state: str
    reason: str | None
    booking_id: UUID | None
    pass_state: str | None


class BookingReading(TypedDict):
    """The states of a booking and its payment."""

    id: UUID
    buyer_id: int
    state: str
    reason: str | None
    payment_state: str | None


async def connect() -> AsyncConn:
    """A connection on which every statement commits by itself."""
    return await AsyncConnection[DictRow].connect(
        settings().database_url,
        autocommit=True,
        row_factory=dict_row,
        application_name="usher live",
        **session_options(),
    )


async def list_queues(conn: AsyncConn, event_ids: Collection[int]) -> list[QueueReading]:
    """Read the states of the queues of opened events."""
    rows = await conn.execute(availability.list_queues, {"event_ids": list(event_ids)})
    return cast(list[QueueReading], await rows.fetchall())


async def find_entries(
    conn: AsyncConn, buyers: Collection[tuple[int, int]]
) -> dict[tuple[int, int], UUID]:
    """Find entries by (event, buyer): the active one, else the last one; without one, no item."""
    values = {
        "event_ids": [event_id for event_id, _ in buyers],
        "buyer_ids": [buyer_id for _, buyer_id in buyers],
    }
    rows = await conn.execute(sql.find_entries, values)
    return {(row["event_id"], row["buyer_id"]): row["id"] for row in await rows.fetchall()}


async def read_entries(conn: AsyncConn, keys: Collection[Key]) -> dict[UUID, EntryReading]:
    rows = await conn.execute(sql.read_entries, _values(keys))
    return {row["id"]: cast(EntryReading, row) for row in await rows.fetchall()}


async def read_bookings(conn: AsyncConn, keys: Collection[Key]) -> dict[UUID, BookingReading]:
    rows = await conn.execute(sql.read_bookings, _values(keys))
    return {row["id"]: cast(BookingReading, row) for row in await rows.fetchall()}


async def list_epochs(conn: AsyncConn, since: datetime | None) -> list[EpochReading]:
    """Read raised token epochs, see db/accounts/accounts.py."""
    rows = await conn.execute(accounts.list_epochs, {"since": since})
    return cast(list[EpochReading], await rows.fetchall())


async def list_ended(conn: AsyncConn, since: datetime | None) -> list[EndedReading]:
    """Read ended sessions, see db/accounts/sessions.py."""
    rows = await conn.execute(sessions.list_ended, {"since": since})
    return cast(list[EndedReading], await rows.fetchall())


def _values(keys: Collection[Key]) -> dict[str, list[int] | list[UUID]]:
    return {"event_ids": [event_id for event_id, _ in keys], "ids": [id for _, id in keys]}
