"""Made-up requests from the API's description, sent to a world in which many of them succeed.

`__main__` runs it, `world` stages what requests are about, `asking` gives each operation what it
needs for success, `run` drives schemathesis, `tally` counts and judges.
"""
