"""Loading this moves the process to the device."""

from tests.npu_adapter import session

UNINSTALL = session.install()
