"""Speed and cost: one file per benchmark, `python -m benchmarks.NAME`."""
