"""queue.fairness and its kin: what each of several busy events gets.

Service is counted in seats. A turn is one batch of a lane, as the drain actor takes them.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from db.runtime.settings import Settings
from ops.bench import halls
from ops.bench.crowds import Crowds
from ops.bench.halls import Hall
from ops.bench.measure import Options, Row, state
from ops.bench.queue_drain import free_seats
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

WEIGHTS = (4, 1)
ROUNDS = 3
BUSY = 0.9
"""Of a hall: so far both events surely have seats to give, and people who wait."""
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
    """The seats that each of two events got, while both were busy."""
    with connected(url) as conn:
        halls.empty(conn)
        heavy, light = (halls.add_hall(conn, seats, weight=weight) for weight in WEIGHTS)
        halls.add_crowd(conn, heavy, seats // 2, halls.PAIRS)
        halls.add_crowd(conn, light, seats, halls.SINGLES)
        halls.settle_down(conn)
    served: Counter[int] = Counter()
    lock = Lock()

    def drain() -> None:
        with connected(url) as conn:
            while max(served.values(), default=0) < seats * BUSY:
                turn = halls.serve_one_lane(conn, Settings.drain_batch)
                if turn:
                    with lock:
                        served[turn[0]] += turn[1].seats_held

    with ThreadPoolExecutor(drains) as threads:
        for running in [threads.submit(drain) for _ in range(drains)]:
            running.result()
    return served[heavy.event], served[light.event]


def small_beside_deep(crowds: Crowds) -> Row:
    free_seats(crowds.conn, crowds.deep)
    pairs = []
    for _ in range(ROUNDS):
        for _ in range(TURNS_BEFORE):
            halls.serve_one_lane(crowds.conn, Settings.drain_batch)
        small = halls.add_hall(crowds.conn, SMALL_CROWD * 8)
        halls.add_crowd(crowds.conn, small, SMALL_CROWD)
        pairs.append((count_turns(crowds, small), 2))
    return state(
        "queue.fairness.small",
        "turns",
        f"batches until all {SMALL_CROWD} people of an event have seats, beside one with"
        f" {crowds.options.waiting:,} waiting; at most {max(ours for ours, _ in pairs)}",
        pairs,
        "every other turn is theirs",
        "lower",
    )


def count_turns(crowds: Crowds, hall: Hall) -> int:
    """Until all of a small crowd are booked."""
    turns = booked = 0
    while booked < SMALL_CROWD:
        turn = halls.serve_one_lane(crowds.conn, Settings.drain_batch)
        assert turn is not None
        turns += 1
        booked += turn[1].booked if turn[0] == hall.event else 0
    return turns


ROWS = {"queue.fairness": by_weight, "queue.fairness.two": by_weight_in_parallel}
BEFORE_CROWDS = {"queue.fairness.small": small_beside_deep}
