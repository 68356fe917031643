"""Finds what is wrong with a data set: `python -m datasets.audit PATH`."""
