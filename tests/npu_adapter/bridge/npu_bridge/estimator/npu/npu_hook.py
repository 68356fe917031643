"""The hooks."""

from tests.npu_adapter.parts import (  # noqa: F401
    NPUBroadcastGlobalVariablesHook,
    SetIterationsVarHook,
)
