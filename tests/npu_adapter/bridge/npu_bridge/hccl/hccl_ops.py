"""The collectives."""

from tests.npu_adapter.collectives import allreduce, broadcast  # noqa: F401
