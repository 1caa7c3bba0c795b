"""Actors for tests of workers, loaded beside Usher's own: `dramatiq tests.support.restless`.

They do what their task says: `kill` takes the process with it, `wait` goes on between two steps
for as long as it is not told to stop, `hang` does not hear, `work` takes a tenth of a second.
`kill` and `work` wait for company first: when the process dies, as many as possible die with it.
"""

import os
import signal
import threading
import time

from tasks import main
from tasks.durable import consumers
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, in_hand, stop_if_told

__all__ = ["broker", "purge_slowly", "restless"]

broker = main.broker
consumers.LONGEST_WAIT = float(os.environ.get("LONGEST_WAIT", consumers.LONGEST_WAIT))
FOREVER = 3600
COMPANY = 4
PURGE_S = 10


@durable(queue="payments", lease=150)
def restless(lease: Lease) -> None:
    """Do what the task says."""
    how = lease.task.args["how"]
    with lease.transaction() as conn:
        conn.execute("insert into audit_log (actor, action) values ('restless', %s)", [how])
    if how in ("kill", "work"):
        wait_for_company()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        threading.Event().wait(FOREVER)
    elif how == "wait":
        while True:
            stop_if_told()
            time.sleep(0.01)
    time.sleep(0.1)
    with lease.transaction() as conn:
        lease.finish(conn)


def wait_for_company() -> None:
    """Wait until all threads of this process have a task in hand, a second at most."""
    end = time.monotonic() + 1
    while len(in_hand) < COMPANY and time.monotonic() < end:
        time.sleep(0.01)


@durable(queue="maintenance", lease=3600)
def purge_slowly(lease: Lease) -> None:
    """Take ten seconds, or until the process is told to stop."""
    with lease.transaction() as conn:
        conn.execute("insert into audit_log (actor, action) values ('restless', 'purge')")
    until = time.monotonic() + PURGE_S
    while time.monotonic() < until:
        stop_if_told()
        time.sleep(0.01)
    with lease.transaction() as conn:
        lease.finish(conn)
