"""The launcher of several processes: `python -m deployment.launch`."""
