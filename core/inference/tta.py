"""Test-time augmentation: probabilities and labels at several scales, with or without flips.

Evaluation, prediction and export all build their predictions with `predict`, each in its own graph.
`core.inference.predictor` predicts outside of a graph: images of any size, in windows
(`core.inference.windows`), with several checkpoints.

If `crop_size` is (height, width), every image has that size (the caller pads smaller ones), and the
image-level feature pools as in training with that crop: over all of it, or over
`image_pooling_crop_size`. If it is None, images may have any size, known only when the graph runs;
the image-level feature then pools over the whole image, `image_pooling_crop_size` is ignored, and
there is no padding.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from core import layers, network
from core.task import MULTICLASS, Task
from options.network import NetworkSpec
from utils.compat import tf


class Prediction(NamedTuple):
    """The prediction of a batch of images, at their size.

    Attributes:
      labels: int32, [N, h, w] of exclusive classes, [N, h, w, classes] of others (`core.task`).
      probabilities: float32 [N, h, w, channels], those of exclusive classes summing to one.
    """

    labels: tf.Tensor
    probabilities: tf.Tensor


def predict(
    images: tf.Tensor,
    spec: NetworkSpec,
    num_classes: int,
    *,
    task: Task = MULTICLASS,
    threshold=0.5,
    scales=(1.0,),
    flip: bool = False,
    crop_size=None,
) -> Prediction:
    """Predicts labels and probabilities.

    With several scales or a flip the probabilities of all runs are averaged once. Several scales
    replace the network's own image pyramid, and resize logits, not probabilities, unless the
    architecture activates before resizing.

    Args:
      images: [N, h, w, 3] float32, 0..255, not normalised.
      spec: The network.
      num_classes: Number of classes.
      task: The task.
      threshold: What a probability must exceed, in tasks that have one.
      scales: Factors on the input size.
      flip: Whether each scale is run on the mirrored images too.
      crop_size: (height, width) of the images, as for `network.build`.

    Raises:
      OptionError: If the network cannot be built.
    """
    network_logits = functools.partial(
        _logits, channels=task.channels(num_classes), crop_size=crop_size
    )
    if tuple(scales) == (1.0,) and not flip:
        return _one_run(network_logits, images, spec, task, threshold)
    size = layers.spatial_size(images)
    chosen = network.architecture(spec)
    total = outputs = None
    for scale in scales:
        scaled = spec
        if tuple(scales) != (1.0,):
            scaled = spec.replace(image_pyramid=(scale,))
        # One scale after the other: in parallel they would need the sum of their memory. The next
        # waits for the network only: resizing and activation, bound by memory, run in parallel.
        with tf.control_dependencies([] if outputs is None else [outputs]):
            inputs = tf.concat([images, _mirrored(images)], 0) if flip else tf.identity(images)
        outputs = network_logits(inputs, scaled)
        for part in _unmirrored(outputs, flip):
            part = _probabilities(part, size, task, chosen)
            total = part if total is None else total + part
    mean = total / float(len(scales) * (2 if flip else 1))
    return Prediction(task.decide(mean, threshold), mean)


def _logits(images, spec, *, channels, crop_size):
    return network.build(images, spec, channels, crop_size=crop_size).logits


def _one_run(network_logits, images, spec, task, threshold):
    size, chosen = layers.spatial_size(images), network.architecture(spec)
    align_corners = chosen.align_corners
    logits = network_logits(images, spec)
    if chosen.activates_before_resizing:
        probabilities = _probabilities(logits, size, task, chosen)
        return Prediction(task.decide(probabilities, threshold), probabilities)
    if spec.options.prediction_with_upsampled_logits:
        logits = layers.resize_bilinear(logits, size, align_corners)
        return Prediction(task.decide_logits(logits, threshold), task.activate(logits))
    coarse = task.decide_logits(logits, threshold)
    return Prediction(
        resize_labels(coarse, size, align_corners),
        layers.resize_bilinear(task.activate(logits), size, align_corners),
    )


def _probabilities(logits, size, task, chosen):
    """Returns the probabilities in a size, in the order of the architecture."""
    if chosen.activates_before_resizing:
        return layers.resize_bilinear(task.activate(logits), size, chosen.align_corners)
    return task.activate(layers.resize_bilinear(logits, size, chosen.align_corners))


def resize_labels(labels: tf.Tensor, size, align_corners: bool) -> tf.Tensor:
    """Returns predicted labels at another (height, width), by nearest neighbour."""
    if labels.shape.ndims == 4:
        return layers.resize_nearest(labels, size, align_corners)
    return tf.squeeze(layers.resize_nearest(tf.expand_dims(labels, 3), size, align_corners), 3)


def _mirrored(images):
    return tf.reverse(images, [2])


def _unmirrored(outputs, flip):
    """Returns the outputs of the images, and those of the mirrored ones, mirrored back."""
    if not flip:
        return [outputs]
    plain, mirrored = tf.split(outputs, 2)
    return [plain, _mirrored(mirrored)]
