"""A lobby under test, and what its clock does."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from db.connections import Conn, one
from tasks.lobbies import tend_lobbies
from tests.support.world import Answer, Sale, in_hours

SOURCE = "The first six numbers of the lottery of 1 May 2030, published at 19:25"
JOIN = (
    "SELECT * FROM join_queue(%s, %s, gen_random_uuid()::text, '', %s, NULL, true, 0, NULL, true)"
)


@dataclass
class Lobby:
    """An event with a lobby, whose times the test moves."""

    sale: Sale
    conn: Conn

    @property
    def path(self) -> str:
        return f"{self.sale.path}/lobby"

    def announce(self, public_source: str | None = SOURCE, **changes: Any) -> Answer:
        body = {"opens_at": in_hours(1), "closes_at": in_hours(2), "public_source": public_source}
        return self.sale.opera.call("PUT", self.path, body | changes)

    def move(self, opens: float, closes: float, on_sale: float) -> None:
        """Its times, in seconds from now."""
        query = """
            UPDATE events SET lobby_opens_at = clock_timestamp() + make_interval(secs => %s),
                lobby_closes_at = clock_timestamp() + make_interval(secs => %s),
                on_sale_at = clock_timestamp() + make_interval(secs => %s) WHERE id = %s"""
        with self.conn.transaction():
            self.conn.execute(query, [opens, closes, on_sale, self.sale.id])
            self.conn.execute(
                "UPDATE draws SET committed_at = now() - interval '1 d'"
                " WHERE event_id = %s AND closed_at IS NULL",
                [self.sale.id],
            )

    def open(self) -> None:
        self.move(-60, 3600, 7200)

    def close(self) -> None:
        """It closed a while ago; the clock has not ticked since."""
        self.move(-60, -10, 7200)

    def begin_sale(self) -> None:
        self.move(-60, -10, -1)

    def enter(self, buyer: int, quantity: int = 1, conn: Conn | None = None) -> dict[str, Any]:
        """Join as account `buyer`, who need not exist."""
        row = one((conn or self.conn).execute(JOIN, [self.sale.id, buyer, quantity]))
        assert row["outcome"] == "joined"
        return row

    def leave(self, buyer: int, conn: Conn | None = None) -> None:
        query = """
            UPDATE entries SET state = 'left', decided_at = clock_timestamp()
            WHERE event_id = %s AND buyer_id = %s
                AND state IN ('lobby', 'waiting', 'standby', 'admitted')"""
        (conn or self.conn).execute(query, [self.sale.id, buyer])

    def give(self, value: str = "7 11 13 17 19 23") -> Answer:
        return self.sale.opera.post(f"{self.path}/draw", {"public_value": value})

    def tick(self) -> dict[str, int]:
        return tend_lobbies(self.conn)

    def draw(self, value: str = "7 11 13 17 19 23") -> None:
        """All that happens between its end and the sale."""
        self.close()
        self.tick()
        assert self.give(value).status_code == 202
        self.tick()

    def row(self) -> dict[str, Any]:
        query = "SELECT * FROM draws WHERE event_id = %s"
        return one(self.conn.execute(query, [self.sale.id]))

    def numbers(self, *states: str) -> dict[int, int]:
        """By account, of entries in one of the states."""
        query = "SELECT buyer_id, number FROM entries WHERE event_id = %s AND state = ANY (%s)"
        rows = self.conn.execute(query, [self.sale.id, list(states)]).fetchall()
        return {row["buyer_id"]: row["number"] for row in rows}

    def expected(self, accounts: set[int]) -> dict[int, int]:
        """What Python's own hashes give for a list."""
        lobby = self.row()
        seed = hashlib.sha256(lobby["secret"] + (lobby["public_value"] or "").encode()).digest()
        order = sorted(accounts, key=lambda a: hmac.digest(seed, str(a).encode(), "sha256"))
        return {account: number for number, account in enumerate(order, start=1)}
