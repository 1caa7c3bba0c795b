"""queue.fairness and related rows: how the drain divides its work among busy events.

Service is counted in seats, and a batch of a lane is what the drain actor decides at once.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from db.runtime.settings import Settings
from ops.bench import events
from ops.bench.crowds import Crowds
from ops.bench.events import Event
from ops.bench.measure import Options, Row, state
from ops.bench.queue_drain import free_seats
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

WEIGHTS = (4, 1)
ROUNDS = 3
BUSY = 0.9
"""The share of the seats up to which both events surely have free seats and waiting entries."""
SMALL_CROWD = 50
TURNS_BEFORE = 3


def by_weight(options: Options, var_dir: Path) -> Row:
    return share(options, var_dir, "queue.fairness", drains=1)


def by_weight_in_parallel(options: Options, var_dir: Path) -> Row:
    return share(options, var_dir, "queue.fairness.two", drains=2)


def share(options: Options, var_dir: Path, name: str, drains: int) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        url = postgres.create_database("usher")
        migrate(url)
        pairs = []
        for _ in range(min(options.rounds, ROUNDS)):
            served = serve_two_events(url, options.seats, drains)
            pairs.append((served[0] / served[1], WEIGHTS[0] / WEIGHTS[1]))
            options.say(f"  {name}: {served[0]:,} seats to {served[1]:,}")
    return state(
        name,
        "times as much",
        f"seats served by {drains} drain(s) of two busy events: pairs at weight {WEIGHTS[0]},"
        f" single seats at weight {WEIGHTS[1]}",
        pairs,
        "weights",
        "nearer",
    )


def serve_two_events(url: str, seats: int, drains: int) -> tuple[int, int]:
    """Count the seats that each of two events got while both were busy."""
    with connected(url) as conn:
        events.empty(conn)
        heavy, light = (events.add_event(conn, seats, weight=weight) for weight in WEIGHTS)
        events.add_entries(conn, heavy, seats // 2, events.PAIRS)
        events.add_entries(conn, light, seats, events.SINGLES)
        events.settle_down(conn)
    served: Counter[int] = Counter()
    lock = Lock()

    def drain() -> None:
        with connected(url) as conn:
            while max(served.values(), default=0) < seats * BUSY:
                turn = events.serve_one_lane(conn, Settings.drain_batch)
                if turn:
                    with lock:
                        served[turn[0]] += turn[1].seats_held

    with ThreadPoolExecutor(drains) as threads:
        for running in [threads.submit(drain) for _ in range(drains)]:
            running.result()
    return served[heavy.id], served[light.id]


def small_beside_deep(crowds: Crowds) -> Row:
    free_seats(crowds.conn, crowds.deep)
    pairs = []
    for _ in range(ROUNDS):
        for _ in range(TURNS_BEFORE):
            events.serve_one_lane(crowds.conn, Settings.drain_batch)
        small = events.add_event(crowds.conn, SMALL_CROWD * 8)
        events.add_entries(crowds.conn, small, SMALL_CROWD)
        pairs.append((count_turns(crowds, small), 2))
    return state(
        "queue.fairness.small",
        "turns",
        f"batches until all {SMALL_CROWD} entries of an event have seats, beside one with"
        f" {crowds.options.waiting:,} waiting; at most {max(ours for ours, _ in pairs)}",
        pairs,
        "every other batch is theirs",
        "lower",
    )


def count_turns(crowds: Crowds, event: Event) -> int:
    """Count the batches until all entries of the small event are booked."""
    turns = booked = 0
    while booked < SMALL_CROWD:
        turn = events.serve_one_lane(crowds.conn, Settings.drain_batch)
        assert turn is not None
        turns += 1
        booked += turn[1].booked if turn[0] == event.id else 0
    return turns


ROWS = {"queue.fairness": by_weight, "queue.fairness.two": by_weight_in_parallel}
BEFORE_CROWDS = {"queue.fairness.small": small_beside_deep}
