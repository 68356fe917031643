"""The adapter of TensorFlow 2."""

from npu_device import compat  # noqa: F401, TID251
