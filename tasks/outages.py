"""While a gateway is away no seats are held that have to be paid through it, so that nobody might
ever ask it again: the clock has it asked."""

from contextlib import suppress

import stripe

from db import payments
from tasks import gateway
from tasks.breaker import GatewayAway
from tasks.broker import durable
from tasks.durable import Lease


@durable(queue="bookings")
def probe_gateway(lease: Lease) -> None:
    """Ask once, through the circuit breaker, which writes down how it went."""
    account_id, answered = lease.task.args["account_id"], False
    with suppress(stripe.StripeError, GatewayAway):
        gateway.probe(account_id)
        answered = True
    with lease.transaction() as conn:
        if answered:  # whichever process wrote it down: that one may be gone
            payments.close_outage(conn, account_id)
        lease.finish(conn)
