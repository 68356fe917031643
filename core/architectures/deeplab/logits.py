"""The last layer: features to logits."""

from __future__ import annotations

from core import layers
from options.architectures.deeplab import DeepLabOptions
from utils.compat import tf

SCOPE = "logits"
# The released checkpoints' name of the only output of a segmentation network.
OUTPUT = "semantic"


def build(
    features: tf.Tensor, options: DeepLabOptions, mode: layers.Mode, channels: int
) -> tf.Tensor:
    """Returns logits [N, h, w, channels].

    Without ASPP (`aspp_with_batch_norm=False`) there is one convolution per atrous rate, and their
    outputs are added, as in DeepLabV2 (arXiv 1606.00915, section 3.2).

    Args:
      features: [N, h, w, channels].
      options: The head.
      mode: What the graph is for.
      channels: Number of logits of a pixel.
    """
    rates = (1,)
    if not options.aspp_with_batch_norm and options.atrous_rates:
        rates = options.atrous_rates
    with tf.variable_scope(SCOPE):
        return tf.add_n(
            [
                layers.conv2d(
                    features,
                    channels,
                    options.logits_kernel_size,
                    rate=rate,
                    activation_fn=None,
                    weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
                    mode=mode,
                    scope=f"{OUTPUT}_{index}" if index else OUTPUT,
                )
                for index, rate in enumerate(rates)
            ]
        )
