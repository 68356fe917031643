"""The decoder of DeepLabV3+: joins the head's output with lower, finer features.

Source: arXiv 1802.02611, section 3.1; the sum merge is that of MobileNetV3's segmentation head.
"""

from __future__ import annotations

from core import layers
from core.architectures.deeplab import aspp
from options.network import NetworkSpec
from utils.compat import slim, tf

# Channels that lower features are reduced to before a concatenation, so that the head's outweigh.
PROJECTED_FILTERS = 48


def build(
    features: tf.Tensor,
    low_level: dict[int, tf.Tensor],
    spec: NetworkSpec,
    mode: layers.Mode,
    image_size,
) -> tf.Tensor:
    """Refines features once per decoder stride, from coarse to fine.

    Args:
      features: [N, h, w, channels], the head's output.
      low_level: Stride -> lower features of the backbone.
      spec: The network.
      mode: What the graph is for.
      image_size: (height, width) of the input in pixels.

    Returns:
      [N, height / stride, width / stride, decoder_filters] at the finest stride.
    """
    options = spec.architecture
    with layers.arg_scope(
        mode,
        decay=spec.options.batch_norm_decay,
        activation_fn=aspp.activation(spec),
    ), _logits_arg_scope(options), tf.variable_scope("decoder"):
        for stage, stride in enumerate(options.decoder_output_stride):
            # The first stage has no suffix: checkpoints with one stage know it so.
            suffix = f"_{stage}" if stage else ""
            sums = options.decoder_use_sum_merge
            filters = options.decoder_filters if sums else PROJECTED_FILTERS
            lower = layers.conv2d(
                low_level[stride], filters, 1, scope=f"feature_projection0{suffix}"
            )
            size = [layers.scaled_size(side, 1.0 / stride) for side in image_size]
            pair = [layers.resize_bilinear(tensor, size) for tensor in (features, lower)]
            features = (_sum_merge if sums else _concat_merge)(pair, options, suffix)
        return features


def _logits_arg_scope(options):
    """Returns the arg scope of a decoder whose output is the logits: linear, with biases."""
    changes = {}
    if options.decoder_output_is_logits:
        changes = {"activation_fn": None, "normalizer_fn": None}
    return slim.arg_scope([layers.conv2d, layers.depthwise_conv2d], **changes)


def _is_separable(options):
    return options.decoder_use_separable_conv and not options.decoder_output_is_logits


def _sum_merge(pair, options, suffix):
    features, lower = pair
    filters = options.decoder_filters
    if _is_separable(options):
        scope = f"decoder_split_sep_conv0{suffix}"
        return layers.split_separable_conv2d(features, filters, 3, scope=scope) + lower
    kernel_size = 1 if options.decoder_output_is_logits else 3
    return layers.conv2d(features, filters, kernel_size, scope=f"decoder_conv0{suffix}") + lower


def _concat_merge(pair, options, suffix):
    outputs = tf.concat(pair, 3)
    filters = options.decoder_filters
    if _is_separable(options):
        for index in range(2):
            outputs = layers.split_separable_conv2d(
                outputs, filters, 3, scope=f"decoder_conv{index}{suffix}"
            )
        return outputs
    scope = f"decoder_conv0{suffix}"
    with tf.variable_scope(scope):
        for index in (1, 2):
            outputs = layers.conv2d(outputs, filters, 3, scope=f"{scope}_{index}")
    return outputs
