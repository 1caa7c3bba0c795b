"""A local gateway that speaks the part of Stripe's API that Usher uses.

The domain (`account`, `intents`, `refunds`, `disputes`, `endpoints`) is plain Python without clock,
network or disk; `engine` runs its commands, journals them and keeps idempotency keys; `server`
speaks HTTP.

It plays several accounts (`hosting`): the platform's, whose key every unknown key is, and those
that the admin side adds, with keys of their own or connected to the platform (Stripe-Account).

Where it differs from Stripe: only the test payment methods of `cards` exist; 3-D Secure is always a
redirect, since no Stripe.js runs here; search is immediate unless a lag is asked for; fees are one
rate for all cards, and payouts are made by the admin side; there are no customers; events are kept
for ever.
"""
