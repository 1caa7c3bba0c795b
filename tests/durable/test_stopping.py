"""How processes begin and end: they wait for their servers, are killed by their tasks, drain on
SIGTERM. Real processes, as the Procfile has them, with the actors of tests/support/restless.py.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import requests
from psycopg.types.json import Jsonb

from db.connections import one
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, Redis, free_port
from ops.local.supervisor import Supervisor, read_procfile
from tests.support.processes import environment_of, process, relaying
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import environment

pytestmark = pytest.mark.processes

WORKER = "dramatiq tests.support.restless --queues drain payments --processes 1 --threads {threads}"
PATIENCE = 30
STOPPING = "Stopping worker process"

Send = Callable[[int, int], None]


@pytest.fixture
def env(running: Running, configured: dict[str, str]) -> dict[str, str]:
    import tests.support.restless  # noqa: F401 the relay of this process has to know the actor

    return environment_of(configured)


def add(running: Running, how: str) -> int:
    query = "select enqueue('restless', 'payments', null, %s) as id"
    return int(one(running.conn.execute(query, [Jsonb({"how": how})]))["id"])


def begun(running: Running, how: str) -> int:
    query = "select count(*) as n from audit_log where action = %s"
    return int(one(running.conn.execute(query, [how]))["n"])


def test_poison_dies_and_its_neighbours_live(
    running: Running, env: dict[str, str], tmp_path: Path
) -> None:
    """It takes its worker with it, and at first whatever that was doing; five times, not more."""
    poison = add(running, "kill")
    for _ in range(3):
        add(running, "work")
    with relaying(), Supervisor(env, tmp_path) as supervisor:
        supervisor.start("worker", WORKER.format(threads=4))
        worker = supervisor.processes["worker.1"]

        def is_over() -> bool:
            worker.started_at = 0  # as if it had lived for long: it is started again at once
            return not running.tasks("restless")

        wait_until(is_over, 2 * PATIENCE)
    (letter,) = running.dead_letters()
    assert (letter["task_id"], letter["reason"]) == (poison, "poison")
    assert [entry["kind"] for entry in letter["errors"]] == ["died"] * 5
    assert len({entry["worker"] for entry in letter["errors"]}) == 5
    assert worker.starts == begun(running, "kill") + 1 == 6


@pytest.mark.faults("Running")
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["master", "group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_hands_back_what_it_has(
    running: Running, env: dict[str, str], tmp_path: Path, send: Send, number: signal.Signals
) -> None:
    """Two tasks are in hand, more are prefetched: all are free again at once, and cost nothing.

    A platform, and honcho, signal the whole process group, which then hears it more than once.
    """
    from tasks.relay import relay_once, waiting

    log = tmp_path / "log"
    for _ in range(4):
        add(running, "wait")
    relay_once()
    with process(WORKER.format(threads=2), env, log) as worker:
        wait_until(lambda: begun(running, "wait") == 2 and waiting("payments") == 0, PATIENCE)
        send(worker.pid, number)
        said_once(log, STOPPING)
        send(worker.pid, number)
        assert worker.wait(PATIENCE) == 0, log.read_text()
    tasks = running.tasks("restless")
    assert {task["lease_token"] for task in tasks} == {None}
    assert {(task["claims"], task["failures"]) for task in tasks} == {(0, 0)}
    told = [task["errors"][-1]["error"] for task in tasks if task["errors"]]
    assert {*told} == {"Stopping: its worker was told to stop"}
    assert len(told) >= 2  # more, if a thread that was free again had taken one of the others
    assert "handed back" not in log.read_text()
    assert waiting("payments") == 4 - len(told)
    relay_once()  # it finds those, too, that were in hand
    assert waiting("payments") >= 4


@pytest.mark.faults("Running")
def test_a_payment_in_hand_is_free_at_once_when_the_group_is_told_to_stop(
    running: Running, env: dict[str, str], tmp_path: Path
) -> None:
    """Its call to the gateway is under way, so its lease would have minutes to run."""
    running.sandbox.faults(latency_ms=5000)
    calls, log = running.sandbox.calls()["total"], tmp_path / "log"
    with relaying(), process(read_procfile()["worker"], {**env, "TASK_PACE": "0.1"}, log) as worker:
        booking = running.sale.hold("alice")
        running.pay(booking)
        wait_until(lambda: running.sandbox.calls()["total"] > calls, PATIENCE)
        os.killpg(worker.pid, signal.SIGTERM)
        said_once(log, STOPPING)
        os.killpg(worker.pid, signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0, log.read_text()
    (task,) = running.tasks("advance")
    assert (task["lease_token"], task["lease_until"], task["claims"]) == (None, None, 0)
    running.sandbox.faults(latency_ms=0)
    with running.work():
        running.wait_for(booking, "confirmed")


def test_what_does_not_end_is_handed_back_over_its_head(
    running: Running, env: dict[str, str], tmp_path: Path
) -> None:
    task = add(running, "hang")
    command = f"{WORKER.format(threads=1)} --worker-shutdown-timeout 1500"
    log = tmp_path / "log"
    with relaying(), process(command, env, log) as worker:
        wait_until(lambda: begun(running, "hang") == 1, PATIENCE)
        worker.send_signal(signal.SIGTERM)
        worker.wait(PATIENCE)
    (left,) = running.tasks("restless")
    assert (left["id"], left["lease_token"], left["claims"]) == (task, None, 0)
    assert "handed back" in log.read_text()


WAITING = {
    "relay": ("Postgres", "Redis"),
    "clock": ("Postgres",),
    "worker": ("Postgres", "Redis"),
    "mailer": ("Postgres", "Redis"),
    "keeper": ("Postgres", "Redis"),
    "web": ("Postgres",),
    "live": ("Postgres",),
}


def test_all_wait_for_their_servers_and_end_when_told(tmp_path: Path) -> None:
    """Started before them, each says once what it waits for, and goes on by itself."""
    tmp_path.chmod(0o711)
    with Postgres(tmp_path / "pg") as postgres, Redis(tmp_path / "redis") as redis:
        migrate(url := postgres.create_database("usher"))
        values = environment(url, redis.url)
        values |= {"PORT": str(free_port()), "LIVE_BIND": f"127.0.0.1:{free_port()}"}
        postgres.stop("fast")
        redis.kill()
        with Supervisor(environment_of(values), tmp_path / "log") as supervisor:
            for kind in WAITING:
                supervisor.start(kind, read_procfile()[kind])
            said(tmp_path, "waiting for Postgres at", WAITING)
            away = requests.get(f"http://127.0.0.1:{values['PORT']}/v1/events", timeout=10)
            assert (away.status_code, "Retry-After" in away.headers) == (503, True)
            postgres.start()
            said(tmp_path, f"Postgres at 127.0.0.1:{postgres.port} answers", WAITING)
            both = [kind for kind, servers in WAITING.items() if "Redis" in servers]
            said(tmp_path, "waiting for Redis at", both)
            redis.start()
            said(tmp_path, f"Redis at 127.0.0.1:{redis.port} answers", both)
            children = [supervisor.processes[f"{kind}.1"] for kind in WAITING]
        for child in children:
            assert child.child
            assert (child.starts, child.child.returncode) == (1, 0), child.log_tail()
        for kind in WAITING:
            assert log_of(tmp_path, kind).count("waiting for Postgres") == 1


def log_of(folder: Path, kind: str) -> str:
    path = folder / "log" / f"{kind}.1.log"
    return path.read_text() if path.exists() else ""


def said(folder: Path, what: str, kinds: Iterable[str]) -> None:
    for kind in kinds:
        wait_until(lambda kind=kind: what in log_of(folder, kind), PATIENCE)  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["relay", "clock", "worker"])
def test_one_that_waits_ends_when_told(kind: str, tmp_path: Path) -> None:
    nowhere = f"postgresql://usher@127.0.0.1:{free_port()}/usher"
    env = environment_of(environment(nowhere, f"redis://127.0.0.1:{free_port()}/0"))
    log = tmp_path / "log"
    with process(read_procfile()[kind], env, log) as child:
        wait_until(lambda: "waiting for Postgres" in log.read_text(), PATIENCE)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0, log.read_text()


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the master", "to the group"])
def test_a_request_in_hand_is_answered(
    running: Running, env: dict[str, str], tmp_path: Path, send: Send
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/events"
    answers: list[requests.Response] = []
    with process(read_procfile()["web"], {**env, "PORT": str(port)}, tmp_path / "log") as web:
        wait_until(lambda: is_up(url), PATIENCE)
        asking = threading.Thread(target=lambda: answers.append(requests.get(url, timeout=20)))
        with running.conn.transaction():
            running.conn.execute("lock table events")
            asking.start()
            wait_until(running.somebody_waits)
            send(web.pid, signal.SIGTERM)
            wait_until(lambda: "Handling signal: term" in (tmp_path / "log").read_text())
        asking.join()
        assert web.wait(PATIENCE) == 0
    assert [answer.status_code for answer in answers] == [200]


def said_once(log: Path, what: str) -> None:
    wait_until(lambda: what in log.read_text(), PATIENCE)


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
