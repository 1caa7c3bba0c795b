"""What Usher does in a second, and what it costs, beside pgbench on the same server.

    python -m ops.bench [row ...] [--rounds 5]
    python -m ops.bench compare <commit> [--rows a,b]

Numbers of shared machines wander, so that nothing is compared with a number from another day: every
round measures the reference right beside the row, and the ratio that counts is the median of the
rounds' ratios. One module per family of rows; `ROWS` in each names them.
"""
