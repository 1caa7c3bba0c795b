"""Seating plans of our own: a theatre to show Usher with, arenas of any size to measure it with."""
