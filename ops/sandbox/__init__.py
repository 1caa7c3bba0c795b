"""A local gateway that speaks the part of Stripe's API that Usher uses.

The domain (`account`, `intents`, `refunds`, `disputes`, `endpoints`) is plain Python without clock,
network or disk; `engine` runs its commands, journals them and keeps idempotency keys; `server`
speaks HTTP.
"""
