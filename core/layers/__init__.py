"""The layers that every backbone and architecture is made of, with tf-slim's variable names.

The settings of a network's layers travel by tf-slim's arg scopes (`layers.arg_scope`). Its own
layers are not used: its `batch_norm` does not work on TensorFlow 2.21, and its atrous convolution
always goes through SpaceToBatch, which costs most of a training step on CPU.

All tensors are NHWC float32.
"""

from core.layers.conv import (
    conv2d,
    conv2d_same,
    depthwise_conv2d,
    l2_regularizer,
    quantized_sigmoid,
    split_separable_conv2d,
)
from core.layers.conv_norm import conv2d_batch_norm, depthwise_conv2d_batch_norm, normalize
from core.layers.dropout import dropout, spatial_dropout
from core.layers.mode import (
    FROZEN_AFFINE,
    FROZEN_INFERENCE,
    FROZEN_STATISTICS,
    INFERENCE,
    DeviceLayers,
    Mode,
)
from core.layers.norm import batch_norm
from core.layers.pooling import average_pool, max_pool
from core.layers.resize import resize_bilinear, resize_nearest, scaled_size, spatial_size
from core.layers.scope import arg_scope
from core.layers.transposed import conv2d_transpose
from core.layers.unused import drop_unused

__all__ = [
    "FROZEN_AFFINE",
    "FROZEN_INFERENCE",
    "FROZEN_STATISTICS",
    "INFERENCE",
    "DeviceLayers",
    "Mode",
    "arg_scope",
    "average_pool",
    "batch_norm",
    "conv2d",
    "conv2d_batch_norm",
    "conv2d_same",
    "conv2d_transpose",
    "depthwise_conv2d",
    "depthwise_conv2d_batch_norm",
    "drop_unused",
    "dropout",
    "l2_regularizer",
    "max_pool",
    "normalize",
    "quantized_sigmoid",
    "resize_bilinear",
    "resize_nearest",
    "scaled_size",
    "spatial_dropout",
    "spatial_size",
    "split_separable_conv2d",
]
