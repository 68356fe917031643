"""Graphs and sessions of TensorFlow 1 on TensorFlow 2."""

# The package of the same name must be there first, or loading it would take this one's place.
import npu_device.compat.utils  # noqa: F401, TID251

ENABLED = []


def enable_v1():
    """Must be called before sessions are used."""
    ENABLED.append(True)
