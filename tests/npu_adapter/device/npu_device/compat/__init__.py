"""Graphs and sessions of TensorFlow 1 on TensorFlow 2."""

ENABLED = []


def enable_v1():
    """Must be called before sessions are used."""
    ENABLED.append(True)
