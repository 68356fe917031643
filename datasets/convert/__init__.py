"""Converts images and masks to records: `python -m datasets.convert FORMAT --flags`."""
