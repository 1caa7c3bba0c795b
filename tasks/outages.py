"""While a gateway is away no seats are held that have to be paid through it, so that nobody might
ever ask it again: the clock has it asked."""

from db import payments
from tasks.broker import durable
from tasks.durable import Lease
from tasks.stripe_calls import probe


@durable(queue="bookings")
def probe_gateway(lease: Lease) -> None:
    """Ask once, through the circuit breaker, which writes down how it went."""
    account_id = lease.task.args["account_id"]
    answered = probe(account_id)
    with lease.transaction() as conn:
        if answered:  # whichever process wrote it down: that one may be gone
            payments.close_outage(conn, account_id)
        lease.finish(conn)
