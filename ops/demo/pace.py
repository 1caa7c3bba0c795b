"""What the demo's organiser does: opens the sale when the buyers are there, and lets no more buyers
in than can pay in time."""

from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from ops.crowd.organiser import Organiser

Json = dict[str, Any]

OPENS_IN_S = 1.0  # buyers look every half second
# A booking is paid within this part of its hold, by the speed of the last seconds; the rest is for
# a machine that becomes slower.
PART_OF_HOLD = 0.5
LOOK_BACK_S = 4.0
FIRST_CAP, LEAST_CAP, MOST_CAP = 100, 30, 1000
GROWS = 1.3  # a second at most: payments that come through together say little about the next ones
WORTH_IT = 0.15  # smaller changes are not made


class Pace:
    """Bounds the bookings in flight by how fast they are paid, through the lane's cap.

    What is in flight takes cap / speed seconds to be paid. With a fixed cap that is longer than a
    hold as soon as the machine is slow enough, whatever the cap: then holds run out before they are
    paid, seats go from hold to hold, and nothing is sold.
    """

    def __init__(self, organiser: Organiser, event_id: int, hold_seconds: int) -> None:
        self.organiser, self.path = organiser, f"/v1/events/{event_id}"
        self.hold_seconds = hold_seconds
        self.cap = FIRST_CAP
        self._paid: deque[tuple[float, int]] = deque()
        self._opened = False

    def open_early(self, word: Json) -> None:
        """Open the sale as soon as all buyers have their accounts, if it is not open yet."""
        since, coming = word["since_opening_s"], word["stages"].get("coming", 0)
        if self._opened or coming or since is None or since > -OPENS_IN_S:
            return
        self._opened = True
        opening = datetime.now(UTC) + timedelta(seconds=OPENS_IN_S)
        with suppress(requests.RequestException):  # then it opens when it was to
            self.organiser.patch(self.path, {"on_sale_at": opening.isoformat()})

    def keep(self, at: float, paid: int) -> None:
        """Set the cap anew. at: seconds of a clock; paid: how many bookings are paid by then."""
        self._paid.append((at, paid))
        while at - self._paid[0][0] > LOOK_BACK_S:
            self._paid.popleft()
        began, before = self._paid[0]
        if at <= began or not paid:
            return
        suitable = suitable_cap((paid - before) / (at - began), self.hold_seconds)
        cap = min(suitable, round(self.cap * GROWS))
        if abs(cap - self.cap) > WORTH_IT * self.cap:
            with suppress(requests.RequestException):  # the next second is another chance
                self.organiser.patch(f"{self.path}/lane", {"in_flight_cap": cap})
                self.cap = cap


def suitable_cap(per_second: float, hold_seconds: int) -> int:
    """So many bookings are paid in time at that speed."""
    return min(max(round(per_second * hold_seconds * PART_OF_HOLD), LEAST_CAP), MOST_CAP)
