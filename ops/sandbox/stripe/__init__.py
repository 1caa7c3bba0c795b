"""A local gateway that speaks the part of Stripe's API that Usher uses.

The domain (`account`, `intents`, `refunds`, `disputes`, `endpoints`) is plain Python without clock,
network or disk; `engine` runs its commands, journals them and keeps idempotency keys; `server`
speaks HTTP.

Where it differs from Stripe: only the test payment methods of `cards` exist; all keys share one
account's objects (limits and idempotency keys are per key); 3-D Secure is always a redirect, since
no Stripe.js runs here; search is immediate unless a lag is asked for; there are no fees, balances,
customers or Connect; events are kept for ever.
"""
