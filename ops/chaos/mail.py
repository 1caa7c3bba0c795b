"""The mail server in a campaign: its faults, and the mails that it received."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from db.connections import Conn
from ops.chaos.plan import Act
from ops.chaos.timeline import Doing, insist
from ops.crowd.told import some

Json = dict[str, Any]

TROUBLES: dict[str, Json] = {
    "mail_refused": {"reject_rate": 0.5, "reply": "451"},
    "mail_dropped": {"drop_rate": 0.5},
    "mail_slow": {"latency_ms": 1500},
}
ROWS = "SELECT id::text, template, booking_id::text, state FROM emails"
WITHOUT_CONFIRMATION = """
SELECT b.id::text FROM bookings b
WHERE b.confirmed_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM emails m
    WHERE m.booking_id = b.id AND m.template = 'confirmed' AND m.state = 'sent')
"""


class Mail:
    """The mail server's faults. done: how often each was started."""

    def __init__(self, catcher_url: str, seed: int) -> None:
        self.url, self.dice = catcher_url, random.Random(f"mail {seed}")
        self.done: Counter[str] = Counter()
        self._kind = ""  # of the trouble that could not be told yet

    @property
    def doings(self) -> dict[str, Doing]:
        return {"mail": self.trouble, "mail_well": self.recover}

    def trouble(self, act: Act) -> Act:
        self._kind = self._kind or self.dice.choice(sorted(TROUBLES))
        self._set(TROUBLES[self._kind])
        kind, self._kind = self._kind, ""
        self.done[kind] += 1
        return Act(act.at_s + act.lasts_s, "mail_well")

    def recover(self, act: Act) -> None:
        self._set({})

    def rest(self) -> None:
        insist(lambda: self._set({}))

    def _set(self, faults: Json) -> None:
        requests.post(f"{self.url}/faults", json=faults, timeout=5).raise_for_status()

    def caught(self) -> Counter[str]:
        """Count the mails received, by Message-ID."""
        answer = insist(lambda: requests.get(f"{self.url}/messages", timeout=60))
        return Counter(mail["message_id"] for mail in answer.json())


@dataclass(frozen=True)
class Post:
    """The mails of the tables, compared with those received. missing, doubled: sentences."""

    sent: int
    repeated: int
    missing: list[str]
    doubled: list[str]


def compare(conn: Conn, caught: Counter[str]) -> Post:
    """Check that each mail came under its own Message-ID. (The same one may come twice.)"""
    rows = conn.execute(ROWS).fetchall()
    ids = {row["id"]: f"<{row['id']}@usher.example>" for row in rows}
    gone = [row for row in rows if row["state"] == "sent" and not caught[ids[row["id"]]]]
    unsent = [row for row in rows if row["state"] not in ("sent", "skipped")]
    silent = [row["id"] for row in conn.execute(WITHOUT_CONFIRMATION)]
    strange = sorted(set(caught) - set(ids.values()))
    return Post(
        sent=sum(row["state"] == "sent" for row in rows),
        repeated=caught.total() - len(caught),
        missing=[
            *some("e-mails were sent but never received", list(names(gone))),
            *some("e-mails were not sent", list(names(unsent))),
            *some("bookings were confirmed without an e-mail", silent),
        ],
        doubled=list(some("e-mails came with an unknown Message-ID", strange)),
    )


def names(rows: list[Json]) -> Iterator[str]:
    return (f"{row['id']} ({row['template']} of {row['booking_id']})" for row in rows)
