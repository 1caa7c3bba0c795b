"""Seating plans: a theatre for the demo, and arenas of any size for measurements."""
