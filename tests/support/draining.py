"""Steps beside a drain, shared by the tests of the queue."""

FREE = {1: 0, 2: 0, 3: 0}
"""Prices: nothing, so that bookings are confirmed at once and nothing is pending."""
