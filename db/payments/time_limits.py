"""Time limits of the steps of payments and refunds."""

from datetime import timedelta

KEY_TRUSTED = timedelta(hours=20)
"""How long an idempotency key is used; the gateway forgets it after a day."""
ON_ITS_WAY = timedelta(minutes=1)
"""How long after it was sent a request may still arrive."""
SEATS_WAIT = timedelta(minutes=15)
"""How long seats wait for a gateway that is away, if the payment can be voided afterwards."""
CHARGE_LATE = timedelta(minutes=15)
"""How long after the deadline a charge is still sent; later the buyer has gone."""
LAPSES_SOON = timedelta(hours=12)
"""How long before it lapses an authorisation that could not be captured is voided."""
