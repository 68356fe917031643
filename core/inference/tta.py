"""Images to probabilities and labels, at one scale or several, with or without mirrored images.

The one place where a network becomes a prediction; evaluation, prediction and export all build it
by `predict` in a graph of theirs. `core.inference.predictor` answers outside of a graph: for images
of any size, in windows (`core.inference.windows`), by several checkpoints.

What `crop_size` means. With (height, width) every image has that size (the caller pads smaller
ones), and the image-level feature pools as in training with that crop: over all of it, or over
`image_pooling_crop_size`. With None images may have any size, which the graph learns at each run;
the image-level feature then pools over the whole image, `image_pooling_crop_size` is not heeded,
and no padding is seen.
"""

from __future__ import annotations

from typing import NamedTuple

from core import layers, network
from options.network import NetworkSpec
from utils.compat import tf


class Prediction(NamedTuple):
    """What a network says of a batch of images, at their size.

    Attributes:
      labels: int32 [N, h, w].
      probabilities: float32 [N, h, w, classes], summing to one.
    """

    labels: tf.Tensor
    probabilities: tf.Tensor


def labels(images, spec, num_classes, **settings) -> tf.Tensor:
    """Returns the most probable class of each pixel, int32 [N, h, w]; see `predict`."""
    return predict(images, spec, num_classes, **settings).labels


def probabilities(images, spec, num_classes, **settings) -> tf.Tensor:
    """Returns the probability of each class, float32 [N, h, w, num_classes]; see `predict`."""
    return predict(images, spec, num_classes, **settings).probabilities


def predict(
    images: tf.Tensor,
    spec: NetworkSpec,
    num_classes: int,
    *,
    scales=(1.0,),
    flip: bool = False,
    crop_size=None,
) -> Prediction:
    """Predicts labels and probabilities.

    With several scales or a flip the probabilities of all runs are averaged once. Several scales
    take the place of the network's own image pyramid, and always resize logits, not probabilities.

    Args:
      images: [N, h, w, 3] float32, 0..255, not normalised.
      spec: The network.
      num_classes: Number of classes.
      scales: Factors on the input size.
      flip: Whether each scale is run on the mirrored images too.
      crop_size: (height, width) of the images, as for `network.logits`.

    Raises:
      OptionError: If the network cannot be built.
    """
    if tuple(scales) == (1.0,) and not flip:
        return _one_run(images, spec, num_classes, crop_size)
    size = layers.spatial_size(images)
    total = outputs = None
    for scale in scales:
        scaled = spec
        if tuple(scales) != (1.0,):
            scaled = spec.replace(image_pyramid=(scale,))
        # One scale after the other: side by side they would need the sum of their memory. The next
        # waits for the network only: resizing and softmax, bound by memory, run beside it.
        with tf.control_dependencies([] if outputs is None else [outputs]):
            inputs = tf.concat([images, _mirrored(images)], 0) if flip else tf.identity(images)
        outputs = network.logits(inputs, scaled, num_classes, crop_size=crop_size)[network.MERGED]
        for part in _unmirrored(outputs, flip):
            part = tf.nn.softmax(layers.resize_bilinear(part, size))
            total = part if total is None else total + part
    mean = total / float(len(scales) * (2 if flip else 1))
    return Prediction(tf.argmax(mean, 3, output_type=tf.int32), mean)


def _one_run(images, spec, num_classes, crop_size):
    size = layers.spatial_size(images)
    logits = network.logits(images, spec, num_classes, crop_size=crop_size)[network.MERGED]
    if spec.options.prediction_with_upsampled_logits:
        logits = layers.resize_bilinear(logits, size)
        return Prediction(tf.argmax(logits, 3, output_type=tf.int32), tf.nn.softmax(logits))
    coarse = tf.argmax(logits, 3, output_type=tf.int32)
    return Prediction(
        tf.squeeze(layers.resize_nearest(tf.expand_dims(coarse, 3), size), 3),
        layers.resize_bilinear(tf.nn.softmax(logits), size),
    )


def _mirrored(images):
    return tf.reverse(images, [2])


def _unmirrored(outputs, flip):
    """Returns the outputs of the images, and of the mirrored ones mirrored back."""
    if not flip:
        return [outputs]
    plain, mirrored = tf.split(outputs, 2)
    return [plain, _mirrored(mirrored)]
