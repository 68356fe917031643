"""Checkpoints: their files, and how they fit a network."""
