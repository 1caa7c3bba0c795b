"""Lobbies for the tests of the queue."""

import pytest

from db.connections import Conn
from tests.support.lobbies import Lobby
from tests.support.world import Sale, in_hours


@pytest.fixture
def lobby(hall: Sale, conn: Conn) -> Lobby:
    """Open, with a public value to come."""
    made = Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), conn)
    assert made.announce().status_code == 200
    made.open()
    return made


@pytest.fixture
def announced(hall: Sale, conn: Conn) -> Lobby:
    """An event that goes on sale in three hours, without a lobby yet."""
    return Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), conn)


@pytest.fixture
def drawn(lobby: Lobby) -> Lobby:
    for account in range(1, 40):
        lobby.enter(account)
    lobby.draw()
    return lobby
