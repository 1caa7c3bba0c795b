"""Queues are named for what they carry, and maintenance shares no thread with payments."""

import re
import time
from pathlib import Path
from statistics import median

from db.connections import one
from ops.local.supervisor import ROOT, Supervisor, read_procfile
from tests.support.processes import environment_of, relaying
from tests.support.running import Running
from tests.support.waiting import wait_until

CARRIES = {
    "drain": {"drain"},
    "payments": {
        "adopt_refund", "advance", "cancel_event", "freeze_for_fraud_warning", "look_at_dispute",
        "number_receipts", "probe_gateway", "refund", "stop_unexpected",
    },
    "mail": {"send_email", "tell_of_postponement"},
    "maintenance": {
        "archive_event", "audit_changes", "audit_findings", "audit_whole", "check_merchant",
        "drop_partitions", "import_plan", "index_bookings", "purge", "read_balance", "reconcile",
        "sum_up_day", "write_export",
    },
}  # fmt: skip
ENQUEUED = re.compile(r"\benqueue\(\s*'(\w+)',\s*'(\w+)'")
LISTENS = re.compile(r"--queues ((?:\w+ )+)--")
PURGES = 24
PAYMENTS = 5
AS_USUAL = 5
"""A payment may take so many times as long: a machine that does other things besides is no
failure. Behind purges it would take a hundred times."""


def test_each_actor_is_in_the_queue_of_what_it_carries(configured: dict[str, str]) -> None:
    from tasks import main

    actors = {name: getattr(main, name) for name in main.__all__}
    queues = {
        name: actor.queue_name for name, actor in actors.items() if name in main.broker.actors
    }
    assert {queue: {n for n in queues if queues[n] == queue} for queue in CARRIES} == CARRIES
    assert {*main.QUEUES, "drain"} == CARRIES.keys()


def test_sql_adds_tasks_to_the_queue_of_their_actor() -> None:
    tasks = [
        task
        for path in (ROOT / "sql").glob("[fq]*/**/*.sql")
        for task in ENQUEUED.findall(path.read_text())
    ]
    assert len(tasks) > 12
    assert [task for task in tasks if task[0] not in CARRIES[task[1]]] == []


def test_maintenance_is_a_process_type_of_its_own() -> None:
    listens = {
        kind: set(found[1].split())
        for kind, command in read_procfile().items()
        if (found := LISTENS.search(command))
    }
    assert listens == {
        "worker": {"drain", "payments"},
        "mailer": {"mail"},
        "keeper": {"maintenance"},
    }


def test_a_payment_takes_its_usual_time_beside_purges(
    running: Running, configured: dict[str, str], tmp_path: Path
) -> None:
    """24 purges of ten seconds would hold every thread of a worker and of the keeper."""
    import tests.support.restless  # noqa: F401 the relay of this process has to know the actor

    bookings = iter([running.sale.hold(f"buyer{n}") for n in range(2 * PAYMENTS + 1)])

    def pay() -> float:
        booking, start = next(bookings), time.monotonic()
        running.pay(booking)
        running.wait_for(booking, "confirmed")
        return time.monotonic() - start

    env = environment_of(configured | {"WORKER_THREADS": "8"})
    with relaying(), Supervisor(env, tmp_path) as supervisor:
        for kind in ("worker", "keeper"):
            command = read_procfile()[kind].replace("tasks.main", "tests.support.restless")
            supervisor.start(kind, command)
        pay()  # the first also waits until the worker is up
        usual = median([pay() for _ in range(PAYMENTS)])
        running.conn.execute(
            "select enqueue('purge_slowly', 'maintenance', null, '{}') from generate_series(1, %s)",
            [PURGES],
        )
        wait_until(lambda: purging(running) > 1, 30)
        beside = median([pay() for _ in range(PAYMENTS)])
        assert len(running.tasks("purge_slowly")) > 0
    assert beside < AS_USUAL * usual


def purging(running: Running) -> int:
    query = "select count(*) as n from audit_log where action = 'purge'"
    return int(one(running.conn.execute(query))["n"])
