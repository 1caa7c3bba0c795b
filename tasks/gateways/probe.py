"""Probes by the clock. While a gateway is away, its events hold no seats that have to be paid, so
without probes no call might be made that shows that it is back."""

from tasks.durable.actors import durable
from tasks.durable.leases import Lease
from tasks.gateways.stripe.client import probe


@durable(queue="payments")
def probe_gateway(lease: Lease) -> None:
    """Call the gateway once through the circuit breaker, which records the outcome."""
    probe(lease.task.args["account_id"])
    with lease.transaction() as conn:
        lease.finish(conn)
