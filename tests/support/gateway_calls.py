"""Calls to the gateway, as the saga makes them."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from db.payments import payments
from db.payments.payments import PaymentProgress
from tests.support.running import Running


def begun(running: Running, booking: UUID) -> PaymentProgress:
    """A payment that is about to be sent, as the saga has it."""
    running.pay(booking)
    row = running.booking(booking)
    payments.mark_sent(running.conn, row["event_id"], row["payment_id"])
    return payments.get_progress(running.conn, row["event_id"], booking)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """The results, or exceptions, of calls that begin at the same time."""
    barrier, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = acts[place]()
        except Exception as error:
            results[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
