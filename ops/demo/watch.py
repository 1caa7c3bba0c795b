"""A sale while it goes on: the crowd's process, a line a second, the organiser, the meter."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

from db.connections import Conn, one
from ops.crowd.process import crowd
from ops.crowd.told import read_told
from ops.demo.buyer import Told
from ops.demo.check import count_seats
from ops.demo.meter import CROWD, Meter
from ops.demo.pace import Pace
from ops.demo.report import progress_line
from ops.local.stack import Stack

Json = dict[str, Any]

PAID = "SELECT count(*) AS paid FROM bookings WHERE event_id = %s AND state = 'confirmed'"


class Watch:
    """Runs the crowd until each of its buyers was told an outcome."""

    def __init__(
        self, stack: Stack, conn: Conn, meter: Meter, pace: Pace,
        say: Callable[[str, str], object],
    ) -> None:  # fmt: skip
        self.stack, self.conn, self.meter, self.pace, self.say = stack, conn, meter, pace, say
        self.phase, self.crowd_s = "sign_up", 0.0

    def sell(self, event_id: int, buyers: int, seed: int) -> tuple[list[Told], Json]:
        """Run the crowd and show its progress; return what each buyer was told, and its last
        line."""
        results = self.stack.var_dir / "crowd.jsonl"
        options = ["--event", str(event_id), "--buyers", str(buyers), "--seed", str(seed)]
        options += [] if self.stack.proxied else ["--from-one-address"]
        coming = f"{buyers:,} buyers come"
        self.say(coming, coming)
        with crowd("ops.demo.crowd", self.stack.web_url, results, *options) as words:
            last_word = self._follow(event_id, words)
        self._end_phase(last_word, "")
        return read_told(results, Told), last_word

    def _follow(self, event_id: int, words: Iterator[Json]) -> Json:
        word: Json = {}
        with requests.Session() as http:
            for word in words:
                self.pace.open_early(word)
                mails = http.get(f"{self.stack.catcher_url}/count", timeout=10).json()["messages"]
                seats = count_seats(self.conn, event_id)
                line, doing = progress_line(seats, word, mails)
                self.say(line, doing)
                paid: int = one(self.conn.execute(PAID, [event_id]))["paid"]
                self.pace.keep(time.monotonic(), paid)
                self._note(word, seats)
        return word

    def _note(self, word: Json, seats: dict[str, int]) -> None:
        """Count CPU, and find out whether another phase has begun."""
        self.meter.look(self.conn)
        since = word["since_opening_s"]
        if self.phase == "sign_up" and since is not None and since >= 0:
            self._end_phase(word, "selling")
        elif self.phase == "selling" and seats.keys() == {"sold"}:
            self._end_phase(word, "tail")

    def _end_phase(self, word: Json, next_one: str) -> None:
        """The crowd says itself what it used."""
        self.meter.end_phase(self.phase, self.conn, {CROWD: word["cpu_s"] - self.crowd_s})
        self.phase, self.crowd_s = next_one, word["cpu_s"]
