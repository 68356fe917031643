"""The adapter of TensorFlow 1."""

from tests.npu_adapter import session

UNINSTALL = session.install()
