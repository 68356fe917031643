"""Atrous spatial pyramid pooling, the head of DeepLabV3.

Source: arXiv 1706.05587, section 3.3; squeeze-and-excitation in arXiv 1905.02244, section 6.4.
"""

from __future__ import annotations

from core import layers
from options.network import NetworkSpec
from utils.compat import tf

# Share of elements that dropout keeps in training.
KEEP_PROB = 0.9


def build(features: tf.Tensor, spec: NetworkSpec, mode: layers.Mode, *, crop_size) -> tf.Tensor:
    """Refines features by parallel atrous convolutions and an image-level feature.

    Args:
      features: [N, h, w, channels], the backbone's output.
      spec: The network.
      mode: What the graph is for.
      crop_size: (height, width) in input pixels that decides the pooling window; None pools over
        the whole feature map and ignores `image_pooling_crop_size`.

    Returns:
      [N, h, w, aspp_convs_filters], or all branches' channels without the concat projection.
    """
    options = spec.architecture
    with layers.arg_scope(
        mode,
        decay=spec.options.batch_norm_decay,
        activation_fn=activation(spec),
    ):
        image_feature = None
        if options.add_image_level_feature:
            image_feature = _image_level_feature(features, spec, crop_size)
        branches = _atrous_branches(features, options)
        excites = options.aspp_with_squeeze_and_excitation
        if image_feature is not None and not excites:
            branches.insert(0, image_feature)
        outputs = tf.concat(branches, 3)
        if options.aspp_with_concat_projection:
            outputs = layers.conv2d(
                outputs, options.aspp_convs_filters, 1, scope="concat_projection"
            )
            outputs = layers.dropout(outputs, KEEP_PROB, mode)
        return outputs * image_feature if image_feature is not None and excites else outputs


def activation(spec: NetworkSpec):
    """Returns the activation of the head and the decoder."""
    return tf.nn.relu6 if spec.options.use_bounded_activation else tf.nn.relu


def pooling_window(spec: NetworkSpec, crop_size) -> tuple[int, int]:
    """Returns (height, width) of the image-level pooling, in features."""
    window = spec.architecture.image_pooling_crop_size or crop_size
    return tuple(layers.scaled_size(side, 1.0 / spec.options.output_stride) for side in window)


def _image_level_feature(features, spec, crop_size):
    """Returns [N, h, w, aspp_convs_filters]: pooled features, projected and spread again."""
    options = spec.architecture
    if crop_size is None:
        pooled = tf.reduce_mean(features, axis=[1, 2], keepdims=True)
    else:
        pooled = tf.nn.avg_pool(
            features,
            [1, *pooling_window(spec, crop_size), 1],
            [1, *options.image_pooling_stride, 1],
            "VALID",
        )
    # The bounded activation is not used here, as in the reference.
    function, normalizer = tf.nn.relu, layers.batch_norm
    if options.aspp_with_squeeze_and_excitation:
        function = layers.quantized_sigmoid if options.image_se_uses_qsigmoid else tf.sigmoid
        normalizer = None
    outputs = layers.conv2d(
        pooled,
        options.aspp_convs_filters,
        1,
        activation_fn=function,
        normalizer_fn=normalizer,
        scope="image_pooling",
    )
    return layers.resize_bilinear(outputs, layers.spatial_size(features))


def _atrous_branches(features, options):
    filters = options.aspp_convs_filters
    branches = [layers.conv2d(features, filters, 1, scope="aspp0")]
    for index, rate in enumerate(options.atrous_rates or (), 1):
        convolve = (
            layers.split_separable_conv2d if options.aspp_with_separable_conv else layers.conv2d
        )
        branches.append(convolve(features, filters, 3, rate=rate, scope=f"aspp{index}"))
    return branches
