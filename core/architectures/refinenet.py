"""RefineNet: blocks that fuse features of several strides, from coarse to fine.

Source: arXiv 1611.06612, in the form of the RefineNet system for map data, whose blocks take the
output of the block before and any layers of the backbone. In each block residual convolution units
(RCU) adapt the inputs, multi-resolution fusion (MRF) brings them to the largest size and adds them,
chained residual pooling (CRP) adds context, and a last RCU follows.
"""

from __future__ import annotations

from typing import NamedTuple

from core import layers
from core.architectures import Architecture, Outputs
from core.backbones import Features
from options.architectures.refinenet import RefineNetOptions
from options.network import NetworkSpec
from utils.compat import slim, tf
from utils.errors import OptionError

_CLASSIFIER = "head"
_FINAL_LAYERS, _FINAL_KERNEL = 2, 3


class _Input(NamedTuple):
    """Features with the stride that they have at this output stride."""

    features: tf.Tensor
    stride: int

    @property
    def channels(self) -> int:
        return self.features.shape.as_list()[3]


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the blocks; see `Architecture.build`."""
    del crop_size
    options, outputs = spec.architecture, []
    with slim.arg_scope([layers.conv2d, layers.conv2d_transpose], mode=mode, activation_fn=None):
        for number, names in enumerate(options.blocks):
            inputs = [*outputs, *(_feature(features, name, spec.options) for name in names)]
            with tf.variable_scope(f"block{number}"):
                outputs = [_block(inputs, options, number)]
        resized = layers.resize_bilinear(outputs[0].features, image_size, align_corners=False)
        return Outputs.of(layers.conv2d(resized, channels, 1, scope=_CLASSIFIER))


def _feature(features, name, network) -> _Input:
    stride, tensor = features.named.get(name) or (int(name), features.stages[int(name)])
    return _Input(tensor, min(stride, network.output_stride))


def _block(inputs, options: RefineNetOptions, number: int) -> _Input:
    """Returns the output of a block, of the size of its largest input."""
    widths = _widths([item.channels for item in inputs], options, number)
    outputs = []
    for index, (item, width) in enumerate(zip(inputs, widths)):
        with _variables(not options.refinenet_raw_mrf_inputs), tf.variable_scope(f"rcu{index}"):
            outputs.append(
                _residual(
                    item.features,
                    width,
                    options.refinenet_rcu_n_layers,
                    options.refinenet_rcu_kernel_size,
                    options.refinenet_rcu_padding,
                )
            )
    if not options.refinenet_raw_mrf_inputs:
        inputs = [_Input(output, item.stride) for output, item in zip(outputs, inputs)]
    with tf.variable_scope("mrf"):
        fused = _fuse(inputs, min(widths), options)
    with tf.variable_scope("crp"):
        pooled = _pool(fused.features, options)
    with tf.variable_scope("rcu_final"):
        outputs = _residual(pooled, min(widths), _FINAL_LAYERS, _FINAL_KERNEL, "same")
    return _Input(outputs, fused.stride)


def _variables(are_used: bool):
    """Returns a scope without a name whose variables are not trained if they are not used."""
    return tf.variable_scope(
        tf.get_variable_scope(),
        custom_getter=None if are_used else _get_untrained,
        auxiliary_name_scope=False,
    )


def _get_untrained(getter, *arguments, **settings):
    return getter(*arguments, **dict(settings, trainable=False, regularizer=None))


def _residual(inputs, width, count, kernel_size, padding):
    """Returns the inputs plus convolutions of them, each after a ReLU."""
    shortcut, outputs = inputs, inputs
    if inputs.shape.as_list()[3] != width:
        shortcut = layers.conv2d(inputs, width, 1, scope="down_sample")
    for index in range(count):
        outputs = layers.conv2d(
            tf.nn.relu(outputs), width, kernel_size, padding=padding.upper(), scope=f"conv{index}"
        )
    return shortcut + outputs


def _fuse(inputs, width, options) -> _Input:
    """Returns the sum of the convolved inputs, in the size of the largest."""
    convolved = [
        _Input(
            layers.conv2d(
                item.features,
                width,
                options.refinenet_mrf_kernel_size,
                options.refinenet_mrf_strides[0],
                padding=options.refinenet_mrf_padding.upper(),
                scope=f"conv{index}",
            ),
            item.stride,
        )
        for index, item in enumerate(inputs)
    ]
    largest = sorted(inputs, key=_area)[-1]
    size = layers.spatial_size(largest.features)
    terms = [
        _enlarged(item.features, size, index, 2 ** (len(inputs) - 1 - index), options)
        for index, item in enumerate(sorted(convolved, key=_area))
    ]
    return _Input(tf.add_n(terms), largest.stride)


def _area(item: _Input):
    """Returns what inputs are sorted by: their area or, where it is not known, their stride."""
    height, width = item.features.shape.as_list()[1:3]
    return -item.stride if None in (height, width) else height * width


def _enlarged(inputs, size, index, stride, options):
    """Returns the transposed convolution of features if it has the right size, else resizes them.

    Both are computed where sizes are not known, and one of them counts.
    """
    resized = layers.resize_bilinear(inputs, size, align_corners=False)
    if not options.refinenet_mrf_use_deconv:
        return resized
    given = layers.spatial_size(inputs)
    is_known = not any(isinstance(side, tf.Tensor) for side in (*given, *size))
    fits = [side * stride for side in given] == list(size) if is_known else True
    with _variables(fits):
        enlarged = layers.conv2d_transpose(
            inputs,
            inputs.shape.as_list()[3],
            options.refinenet_mrf_kernel_size,
            stride,
            scope=f"deconv{index}",
        )
    if is_known:
        return enlarged if fits else resized
    fits = tf.reduce_all(tf.equal(layers.spatial_size(enlarged), tf.stack(size)))
    share = tf.cast(fits, tf.float32)
    enlarged = layers.resize_bilinear(enlarged, size, align_corners=False)
    return share * enlarged + (1.0 - share) * resized


def _pool(inputs, options):
    """Returns the rectified inputs plus a chain of poolings, each convolved."""
    outputs, pooled = tf.nn.relu(inputs), inputs
    padding = options.refinenet_crp_padding.upper()
    for index in range(options.refinenet_crp_n_pool_blocks):
        pooled = layers.conv2d(
            layers.max_pool(pooled, options.refinenet_crp_k_size_pool, 1, padding),
            inputs.shape.as_list()[3],
            options.refinenet_crp_k_size_conv,
            padding=padding,
            scope=f"conv{index}",
        )
        outputs += pooled
    return outputs


def _widths(channels, options: RefineNetOptions, number: int) -> list:
    """Returns the channels of the residual units of a block's inputs.

    Raises:
      OptionError: If one would have none.
    """
    scale = options.refinenet_reduce_channel_scale
    if min(channels) < scale:
        raise OptionError(
            f"--refinenet_reduce_channel_scale is {scale}, but an input of block {number} of "
            f"--refinenet_blocks has {min(channels)} channels, so that nothing would be left; "
            f"pass at most {min(channels)}, or fewer blocks."
        )
    return [count // scale for count in channels]


def check(spec: NetworkSpec, backbone, *, image_size, channels):
    """Raises OptionError if the backbone lacks a feature or a block has no channels."""
    del channels, image_size
    features = {str(stride): (stride, count) for stride, count in backbone.channels.items()}
    features.update(backbone.named)
    options, below = spec.architecture, []
    for number, names in enumerate(options.blocks):
        for name in names:
            if name not in features:
                raise OptionError(
                    f"--refinenet_blocks names {name}, but {spec.options.model_variant} has the "
                    f"features {', '.join(features)}."
                )
        # With a depth multiplier channels are only known once the backbone is built.
        if spec.options.depth_multiplier == 1.0:
            widths = _widths([*below, *(features[name][1] for name in names)], options, number)
            below = [min(widths)]


VARIANTS = {
    "refinenet": Architecture(
        build=build,
        logits_stride=lambda spec: 1,
        head_scopes=(r"block\d+/",),
        classifier=_CLASSIFIER,
        decoder_scopes=(r"block\d+/",),
        check=check,
    )
}
