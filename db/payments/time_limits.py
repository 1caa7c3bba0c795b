"""Times by which the steps of payments and refunds are decided."""

from datetime import timedelta

KEY_TRUSTED = timedelta(hours=20)
"""From its first use on; the gateway forgets an idempotency key after a day."""
ON_ITS_WAY = timedelta(minutes=1)
"""After a request was sent it may still arrive."""
SEATS_WAIT = timedelta(minutes=15)
"""For a gateway that is away, where the payment can be voided when it is back."""
CHARGE_LATE = timedelta(minutes=15)
"""After the time to pay a charge is not sent any more: its buyer has gone."""
LAPSES_SOON = timedelta(hours=12)
"""Before its end an authorisation that could not be captured is voided."""
