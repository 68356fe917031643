"""Loading this sends every session of the process to the device."""

from tests.npu_adapter import session

session.send_all_sessions_to_the_device()
