"""Dramatiq: actors, saga, relay and clock. The only code that talks to Stripe and to mail."""
