"""The folder of a training run, and what a run leaves in it."""
