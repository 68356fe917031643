"""The optimizers."""

from tests.npu_adapter.parts import NPUDistributedOptimizer, NPUOptimizer  # noqa: F401
