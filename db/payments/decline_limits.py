"""How many payments may be declined before further ones are not tried: card numbers are tested
where declines cost nothing."""

DECLINES = {
    "account": "5 per 15 minutes",
    "address": "20 per 15 minutes",
    "card": "5 per hour",
    "event": "100 per 15 minutes",
}
"""By what is counted: sql/functions/payments/decline_room.sql counts them."""
