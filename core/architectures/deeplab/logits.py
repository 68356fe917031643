"""The last layer: features to logits."""

from __future__ import annotations

from core import layers
from options.architectures import DeepLabOptions
from utils.compat import slim, tf

SCOPE = "logits"
# The released checkpoints' name of the only output of a segmentation network.
OUTPUT = "semantic"


def build(
    features: tf.Tensor, options: DeepLabOptions, mode: layers.Mode, num_classes: int
) -> tf.Tensor:
    """Returns logits [N, h, w, num_classes].

    Without ASPP (`aspp_with_batch_norm=False`) there is one convolution per atrous rate, and their
    outputs are added, as in DeepLabV2 (arXiv 1606.00915, section 3.2).

    Args:
      features: [N, h, w, channels].
      options: The head.
      mode: What the graph is for.
      num_classes: Number of classes.
    """
    rates = (1,)
    if not options.aspp_with_batch_norm and options.atrous_rates:
        rates = options.atrous_rates
    with tf.variable_scope(SCOPE), slim.arg_scope(
        [layers.conv2d],
        activation_fn=None,
        normalizer_fn=None,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
        weights_regularizer=layers.l2_regularizer(mode.weight_decay),
    ):
        return tf.add_n(
            [
                layers.conv2d(
                    features,
                    num_classes,
                    options.logits_kernel_size,
                    rate=rate,
                    scope=f"{OUTPUT}_{index}" if index else OUTPUT,
                )
                for index, rate in enumerate(rates)
            ]
        )
