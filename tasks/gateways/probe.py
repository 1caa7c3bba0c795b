"""While a gateway is away no seats are held that have to be paid through it, so that nobody might
ever ask it again: the clock has it asked."""

from tasks.durable.actors import durable
from tasks.durable.leases import Lease
from tasks.gateways.stripe.client import probe


@durable(queue="payments")
def probe_gateway(lease: Lease) -> None:
    """Ask once, through the circuit breaker, which writes down how it went."""
    probe(lease.task.args["account_id"])
    with lease.transaction() as conn:
        lease.finish(conn)
