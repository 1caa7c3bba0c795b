"""The simulated buyers and the organiser that demo, bench and chaos share; each adds its own ways.

`api` sends buyers' requests, `buyer` has what all buyers do alike, `process` runs them in a process
of their own, `told` records what each was told, and `organiser` puts an event on sale.
"""
