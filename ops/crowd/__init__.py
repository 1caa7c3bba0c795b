"""The simulated buyers and the organiser that demo, bench and chaos share; each adds its own ways.

`api` is how buyers ask, `buyer` what all of them do alike, `process` the process they live in,
`told` what they were told, and `organiser` puts an event on sale.
"""
