"""Measure what Usher does in a second and what it costs, beside a reference on the same server.

    python -m ops.bench [row ...] [--rounds 5]
    python -m ops.bench compare <commit> [--rows a,b]

The speed of a shared machine changes from hour to hour: a number from another day proves nothing.
So every round measures the row and its reference one after the other. The ratio of a row is the
median of its rounds' ratios. There is one module per family of rows; `ROWS` in each names them.
"""
