"""What things cost: one file per measured thing, `python -m benchmarks.NAME`."""
