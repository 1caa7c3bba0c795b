"""Time limits of the steps of payments and refunds."""

from datetime import timedelta

KEY_TRUSTED = timedelta(hours=20)
"""An idempotency key is used for so long after its first use; the gateway forgets it after a day.
"""
ON_ITS_WAY = timedelta(minutes=1)
"""A request may still arrive for so long after it was sent."""
SEATS_WAIT = timedelta(minutes=15)
"""Seats wait for so long for a gateway that is away, if the payment can be voided afterwards."""
CHARGE_LATE = timedelta(minutes=15)
"""So long after the deadline a charge is not sent any more, because the buyer has gone."""
LAPSES_SOON = timedelta(hours=12)
"""So long before it lapses, an authorisation that could not be captured is voided."""
