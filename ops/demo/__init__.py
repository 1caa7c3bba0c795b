"""A whole on-sale on this machine: a hall is put on sale and a crowd sells it out over HTTP.

`crowd` is a process of its own that plays the buyers (`people` says who they are, `buyer` what each
one does, with what ops/crowd has for all), `check` looks at the outcome from outside, and `report`
tells of it.
"""
