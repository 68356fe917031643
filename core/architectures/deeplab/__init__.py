"""DeepLabV2, V3, V3+ and the dense prediction cell: one architecture."""

from core.architectures.deeplab.network import VARIANTS

__all__ = ["VARIANTS"]
