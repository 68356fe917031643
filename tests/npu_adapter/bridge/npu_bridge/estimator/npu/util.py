"""What the other parts share."""

from tests.npu_adapter.parts import get_ranksize  # noqa: F401
