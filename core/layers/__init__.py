"""The layers that every backbone and head is made of, with tf-slim's variable names.

They take tf-slim's arg scopes (`with slim.arg_scope([layers.conv2d], rate=2): ...`). tf-slim's own
layers are not used: its `batch_norm` does not work on TensorFlow 2.21, and its atrous convolution
always goes through SpaceToBatch, which costs most of a training step on CPU. How a convolution is
computed is the business of `core/layers/convolution.py`.

All tensors are NHWC float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib

from core.layers import convolution
from utils.compat import slim, tf


@dataclasses.dataclass(frozen=True)
class Mode:
    """What a graph is built for.

    Attributes:
      is_training: Whether it trains (dropout).
      fine_tune_batch_norm: Whether batch norm learns while the graph trains.
      weight_decay: L2 factor of convolution weights.
    """

    is_training: bool = False
    fine_tune_batch_norm: bool = False
    weight_decay: float = 0.0

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm uses and updates batch statistics."""
        return self.is_training and self.fine_tune_batch_norm


@contextlib.contextmanager
def arg_scope(
    mode: Mode,
    *,
    decay: float,
    epsilon: float = 1e-5,
    activation_fn=tf.nn.relu,
    weights_initializer=None,
):
    """Sets the arg scope of a network whose convolutions are followed by batch norm.

    Depthwise kernels are not regularised.

    Args:
      mode: What the graph is for.
      decay: Decay of the moving averages.
      epsilon: Added to the variance.
      activation_fn: Applied after batch norm, or None.
      weights_initializer: Of every kernel; Glorot uniform if None.
    """
    with slim.arg_scope(
        [conv2d, depthwise_conv2d],
        normalizer_fn=batch_norm,
        activation_fn=activation_fn,
        weights_initializer=weights_initializer,
    ), slim.arg_scope(
        [conv2d], weights_regularizer=l2_regularizer(mode.weight_decay)
    ), slim.arg_scope(
        [batch_norm], is_training=mode.trains_batch_norm, decay=decay, epsilon=epsilon
    ):
        yield


def l2_regularizer(weight_decay: float):
    """Returns the function weights -> weight_decay * sum(weights^2) / 2, or None for 0."""
    if not weight_decay:
        return None
    return lambda weights: tf.multiply(weight_decay, tf.nn.l2_loss(weights), name="l2_regularizer")


@slim.add_arg_scope
def batch_norm(
    inputs: tf.Tensor,
    decay: float = 0.9997,
    epsilon: float = 1e-5,
    is_training: bool = False,
    is_frozen=None,
    average=None,
    ranks: int = 1,
    scope: str | None = None,
) -> tf.Tensor:
    """Normalizes each channel; equal to `slim.batch_norm(scale=True, fused=True)`.

    In training the moving averages are updated by operations in the collection UPDATE_OPS. The
    moving variance takes the Bessel-corrected batch variance, as TensorFlow's fused kernel gives
    it. Source: arXiv 1502.03167.

    Args:
      inputs: [N, h, w, channels].
      decay: Weight of the old moving average in each update.
      epsilon: Added to the variance.
      is_training: Whether batch statistics are used, and moving averages updated.
      is_frozen: Function from a variable's name to whether it is frozen: with a frozen gamma
        moving averages are used in any case. None freezes nothing.
      average: Function from a list of tensors to the list of their means over all ranks, with its
        gradient: batch statistics are those of all ranks. None: those of this one.
      ranks: Number of ranks, whose batches have one size.
      scope: Name of the scope of gamma, beta, moving_mean and moving_variance.
    """
    with tf.variable_scope(scope, "BatchNorm", [inputs]):
        channels = [inputs.shape.as_list()[-1]]
        gamma = slim.model_variable("gamma", channels, initializer=tf.ones_initializer())
        beta = slim.model_variable("beta", channels, initializer=tf.zeros_initializer())
        mean = slim.model_variable(
            "moving_mean", channels, initializer=tf.zeros_initializer(), trainable=False
        )
        variance = slim.model_variable(
            "moving_variance", channels, initializer=tf.ones_initializer(), trainable=False
        )
        if not is_training or (is_frozen and is_frozen(gamma.op.name)):
            return tf.nn.fused_batch_norm(
                inputs, gamma, beta, mean, variance, epsilon=epsilon, is_training=False
            )[0]
        if average is None:
            outputs, batch_mean, batch_variance = tf.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=epsilon, is_training=True
            )
        else:
            batch_mean, batch_variance = _statistics_of_all(inputs, mean.read_value(), average)
            outputs = tf.nn.batch_normalization(
                inputs, batch_mean, batch_variance, beta, gamma, epsilon
            )
            count = ranks * tf.cast(tf.size(inputs) // channels[0], tf.float32)
            batch_variance *= count / tf.maximum(count - 1.0, 1.0)
        _update_moving_average(mean, batch_mean, decay)
        _update_moving_average(variance, batch_variance, decay)
        return outputs


def _statistics_of_all(inputs, near, average) -> tuple:
    """Returns mean and variance [channels] of a batch over all ranks.

    Squares of distances from a number near the mean are summed, not of the values: their difference
    would lose the variance of channels that are far from zero.
    """
    mean, variance = tf.nn.moments(inputs, [0, 1, 2])
    distance = mean - near
    distance, square = average([distance, variance + tf.square(distance)])
    return near + distance, tf.maximum(square - tf.square(distance), 0.0)


def _update_moving_average(variable, value, decay):
    # With shared weights (an image pyramid) one variable has several updates in a step; they run
    # one after the other, in the order of the graph.
    earlier = [
        update
        for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        if getattr(update, "updated_variable", None) is variable
    ]
    with tf.control_dependencies(earlier):
        update = tf.assign_sub(variable, (variable.read_value() - value) * (1.0 - decay)).op
    update.updated_variable = variable
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)


@slim.add_arg_scope
def conv2d(
    inputs: tf.Tensor,
    filters: int,
    kernel_size: int,
    stride: int = 1,
    rate: int = 1,
    *,
    padding: str = "SAME",
    activation_fn=tf.nn.relu,
    normalizer_fn=None,
    weights_initializer=None,
    weights_regularizer=None,
    formulation: str = convolution.PRODUCTS,
    scope: str | None = None,
) -> tf.Tensor:
    """Convolves, then normalizes (or adds biases), then activates.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      padding: SAME or VALID.
      activation_fn: Applied last, or None.
      normalizer_fn: Applied instead of biases, or None.
      weights_initializer: Glorot uniform if None.
      weights_regularizer: Of the kernel, or None.
      formulation: How it is computed, one of `convolution.FORMULATIONS`; the result is the same.
      scope: Scope of `weights` and `biases`.

    Returns:
      [N, ceil(h / stride), ceil(w / stride), filters] with SAME padding.
    """
    with tf.variable_scope(scope, "Conv", [inputs]):
        channels = inputs.shape.as_list()[-1]
        weights = slim.model_variable(
            "weights",
            [kernel_size, kernel_size, channels, filters],
            initializer=weights_initializer or tf.glorot_uniform_initializer(),
            regularizer=weights_regularizer,
        )
        outputs = convolution.convolve(
            inputs, weights, stride, rate, padding=padding, formulation=formulation
        )
        return _finish(outputs, filters, normalizer_fn, activation_fn)


def conv2d_same(
    inputs: tf.Tensor, filters: int, kernel_size: int, stride: int = 1, rate: int = 1, **settings
) -> tf.Tensor:
    """Convolves with the same padding on both sides, whatever the size of the input.

    TensorFlow's SAME pads a strided convolution by an amount that depends on the size; with this
    one, striding equals convolving densely and keeping every stride-th row and column. Without a
    stride both are the same.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the kernel.
      stride: Output stride.
      rate: Atrous rate; a rate above 1 needs stride 1.
      **settings: Further arguments of `conv2d`.
    """
    if stride == 1 or kernel_size == 1:
        return conv2d(inputs, filters, kernel_size, stride, rate, **settings)
    before = (kernel_size - 1) // 2
    after = kernel_size - 1 - before
    padded = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
    return conv2d(padded, filters, kernel_size, stride, rate, padding="VALID", **settings)


@slim.add_arg_scope
def depthwise_conv2d(
    inputs: tf.Tensor,
    kernel_size,
    stride: int = 1,
    rate=1,
    *,
    padding: str = "SAME",
    activation_fn=tf.nn.relu,
    normalizer_fn=None,
    weights_initializer=None,
    scope: str | None = None,
) -> tf.Tensor:
    """Convolves each channel by itself, normalizes (or adds biases), activates.

    The variable is called `depthwise_weights`, [height, width, channels, 1]; it is never
    regularised, as in the DeepLab family.

    An atrous rate always goes through SpaceToBatch: on CPU the kernel's own dilation is wrong, and
    says nothing (forward on TF 1.15, gradients on TF 2.21), and slower at large rates.

    Args:
      inputs: [N, h, w, channels].
      kernel_size: Height and width of the kernel, one number or a pair.
      stride: Output stride.
      rate: Atrous rate, one number or a pair (height, width); above 1 it needs stride 1.
      padding: SAME or VALID.
      activation_fn: Applied last, or None.
      normalizer_fn: Applied instead of biases, or None.
      weights_initializer: Glorot uniform if None.
      scope: Scope of `depthwise_weights` and `biases`.
    """
    with tf.variable_scope(scope, "SeparableConv2d", [inputs]):
        channels = inputs.shape.as_list()[-1]
        weights = slim.model_variable(
            "depthwise_weights",
            [*_pair(kernel_size), channels, 1],
            initializer=weights_initializer or tf.glorot_uniform_initializer(),
        )
        outputs = tf.nn.depthwise_conv2d(
            inputs, weights, [1, stride, stride, 1], padding, rate=_pair(rate)
        )
        return _finish(outputs, channels, normalizer_fn, activation_fn)


def _pair(value) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _finish(outputs, channels, normalizer_fn, activation_fn):
    """Normalizes or adds biases, then activates."""
    if normalizer_fn is None:
        biases = slim.model_variable("biases", [channels], initializer=tf.zeros_initializer())
        outputs = tf.nn.bias_add(outputs, biases)
    else:
        outputs = normalizer_fn(outputs)
    return outputs if activation_fn is None else activation_fn(outputs)


def split_separable_conv2d(
    inputs: tf.Tensor, filters: int, kernel_size: int = 3, rate: int = 1, *, scope: str
) -> tf.Tensor:
    """Convolves depthwise, then pointwise, each followed by normalization and activation.

    Args:
      inputs: [N, h, w, channels].
      filters: Output channels.
      kernel_size: Height and width of the depthwise kernel.
      rate: Atrous rate of the depthwise convolution, or its (height, width).
      scope: The variables are in `SCOPE_depthwise` and `SCOPE_pointwise`.
    """
    outputs = depthwise_conv2d(
        inputs,
        kernel_size,
        rate=rate,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.33),
        scope=scope + "_depthwise",
    )
    return conv2d(
        outputs,
        filters,
        1,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.06),
        scope=scope + "_pointwise",
    )


def quantized_sigmoid(inputs: tf.Tensor) -> tf.Tensor:
    """Returns the piecewise linear sigmoid of MobileNetV3, with the family's rounded 1/6."""
    return tf.nn.relu6(inputs + 3.0) * 0.16667


@slim.add_arg_scope
def dropout(
    inputs: tf.Tensor, keep_prob: float, is_training: bool, of_device=None, share=(0, 1)
) -> tf.Tensor:
    """Zeroes elements with probability 1 - keep_prob in training and scales the others.

    The mask of an image is a function of the graph's seed, the place in the graph, the global step
    and the image's number in the step: a run that is continued, or one with another number of
    ranks, drops what an uninterrupted one would.

    Args:
      inputs: float32 [N, ...], N static.
      keep_prob: Share of the elements that stay.
      is_training: Without it the inputs are returned.
      of_device: Function of inputs and keep_prob that does the same on a device, where it can; its
        masks are the device's own.
      share: (rank, ranks): which of the step's images these are, every ranks-th from rank on.
    """
    if not is_training:
        return inputs
    if of_device is not None:
        return of_device(inputs, keep_prob)
    rank, ranks = share
    size = inputs.shape.as_list()[0]
    with tf.name_scope("dropout") as scope:
        place = (tf.get_default_graph().seed or 0) + zlib.crc32(scope.encode("utf-8"))
        first = tf.cast(tf.train.get_or_create_global_step(), tf.int64) * (size * ranks) + rank
        noise = tf.stack(
            [
                tf.random.stateless_uniform(
                    tf.shape(inputs)[1:],
                    tf.stack([tf.constant(place, tf.int64), first + image * ranks]),
                )
                for image in range(size)
            ]
        )
        return inputs * (tf.cast(noise < keep_prob, inputs.dtype) / keep_prob)


def resize_bilinear(images: tf.Tensor, size, align_corners: bool = True) -> tf.Tensor:
    """Resizes [N, h, w, channels].

    Args:
      images: Float images or features.
      size: Height and width, as numbers or a tensor [2]. At their own size images come back as
        they are.
      align_corners: Whether the centers of the corner pixels stay where they are, the DeepLab
        family's convention; else the edges of the image do (half-pixel centers).
    """
    if _is_static(size) and images.shape.as_list()[1:3] == list(size):
        return images
    if align_corners:
        return tf.image.resize_bilinear(images, size, align_corners=True)
    return tf.image.resize_bilinear(images, size, half_pixel_centers=True)


def _is_static(size) -> bool:
    return not isinstance(size, tf.Tensor) and not any(isinstance(side, tf.Tensor) for side in size)


def resize_nearest(images: tf.Tensor, size, align_corners: bool = True) -> tf.Tensor:
    """Resizes [N, h, w, channels] by nearest neighbor; see `resize_bilinear`."""
    if align_corners:
        return tf.image.resize_nearest_neighbor(images, size, align_corners=True)
    return tf.image.resize_nearest_neighbor(images, size, half_pixel_centers=True)


def scaled_size(size, scale: float):
    """Returns the size that a side has at a scale: int((size - 1) * scale + 1).

    Keeps the corners aligned: 513 at 1/16 is 33, 513 at 0.5 is 257. A size that is an int32 tensor
    gives one.
    """
    if isinstance(size, tf.Tensor):
        return tf.cast((tf.cast(size, tf.float32) - 1.0) * scale + 1.0, tf.int32)
    return int((float(size) - 1.0) * scale + 1.0)


def spatial_size(images: tf.Tensor) -> tuple:
    """Returns (height, width) as numbers where the static shape knows them, else as tensors."""
    static = images.shape.as_list()[1:3]
    if None not in static:
        return tuple(static)
    dynamic = tf.shape(images)
    return tuple(dynamic[i + 1] if side is None else side for i, side in enumerate(static))
