"""Exports of personal data that are too much for one request: written part by part."""

from db.maintenance import personal_data
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, stop_if_told


@durable(queue="maintenance", lease=300)
def write_export(lease: Lease) -> None:
    """Write all that is kept about a person, each part in a transaction of its own. A worker that
    comes after one that died goes on after the last part."""
    account_id: int = lease.task.args["account_id"]
    while not lease.finished:
        stop_if_told()
        with lease.transaction() as conn:
            if personal_data.write_export_part(conn, account_id):
                lease.renew(conn)
            else:
                lease.finish(conn)
