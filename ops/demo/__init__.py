"""A whole on-sale on this machine: a crowd of buyers buys all seats of an event over HTTP.

`crowd` is a process of its own with the buyers: `people` draws them, `buyer` is what each one does,
and ops/crowd has what they share with bench and chaos. `check` examines the outcome from outside,
and `report` prints it.
"""
