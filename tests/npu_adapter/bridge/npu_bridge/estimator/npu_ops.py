"""The operations."""

from tests.npu_adapter.parts import dropout, initialize_system, shutdown_system  # noqa: F401
