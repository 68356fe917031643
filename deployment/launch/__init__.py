"""Starts several processes that train together: `python -m deployment.launch`."""
