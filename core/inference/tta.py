"""Test-time augmentation: probabilities and labels at several scales, flipped and turned.

Evaluation, prediction and export all build their predictions with `predict`, each in its own graph.
`core.inference.predictor` predicts outside of a graph: images of any size, in windows
(`core.inference.windows`), with several checkpoints.

If `crop_size` is (height, width), every image has that size (the caller pads smaller ones), and the
image-level feature pools as in training with that crop: over all of it, or over
`image_pooling_crop_size`. If it is None, images may have any size, known only when the graph runs;
the image-level feature then pools over the whole image, `image_pooling_crop_size` is ignored, and
there is no padding.

Images in all symmetries of one size are one batch; images that are not square and turned ones are
two.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from core import layers, network
from core.inference import merging
from core.task import MULTICLASS, Task
from options.averaging import Averaging, Symmetry
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError


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
    crop_size=None,
    **averaging,
) -> Prediction:
    """Predicts labels and probabilities.

    With several scales or symmetries the probabilities of all runs are averaged once. Several
    scales replace the network's own image pyramid, and resize logits, not probabilities, unless the
    architecture activates before resizing.

    Args:
      images: [N, h, w, 3] float32, 0..255, not normalised.
      spec: The network.
      num_classes: Number of classes.
      task: The task.
      threshold: What a probability must exceed, in tasks that have one.
      crop_size: (height, width) of the images, as for `network.build`.
      **averaging: Fields of `options.averaging.Averaging`; by default one run.

    Raises:
      OptionError: If the network cannot be built, or not for turned images.
    """
    averaging = Averaging(**averaging)
    channels = task.channels(num_classes)
    if tuple(averaging.scales) == (1.0,) and averaging.runs == 1:
        logits = _logits(images, spec, channels, crop_size)
        return _one_run(logits, layers.spatial_size(images), spec, task, threshold)
    groups = _run_together(averaging.symmetries, images)
    _check_turned(groups, spec, crop_size)
    size = layers.spatial_size(images)
    chosen = network.architecture(spec)
    merger, outputs = merging.Merger(averaging.average, task), None
    for scale, symmetries in itertools.product(averaging.scales, groups):
        scaled = spec
        if tuple(averaging.scales) != (1.0,):
            scaled = spec.replace(image_pyramid=(scale,))
        # One scale after the other: in parallel they would need the sum of their memory. The next
        # waits for the network only: resizing and activation, bound by memory, run in parallel.
        with tf.control_dependencies([] if outputs is None else [outputs]):
            inputs = _joined([_moved(images, symmetry) for symmetry in symmetries])
        crop = crop_size[::-1] if crop_size and symmetries[0].transposed else crop_size
        outputs = _logits(inputs, scaled, channels, crop)
        for symmetry, part in zip(symmetries, tf.split(outputs, len(symmetries))):
            merger.add(_probabilities(_moved_back(part, symmetry), size, task, chosen))
    probabilities = merger.result()
    return Prediction(task.decide(probabilities, threshold), probabilities)


def _run_together(symmetries, images) -> list:
    """Returns the symmetries in groups whose images have one size, so that they are one batch."""
    height, width = images.shape.as_list()[1:3]
    turned = [symmetry for symmetry in symmetries if symmetry.transposed]
    if not turned or (height is not None and height == width):
        return [symmetries]
    return [[symmetry for symmetry in symmetries if not symmetry.transposed], turned]


def _check_turned(groups, spec, crop_size):
    """Raises OptionError if images would be turned that the network takes in one orientation."""
    if len(groups) == 1 or crop_size is None or network.architecture(spec).can_turn(spec):
        return
    raise OptionError(
        f"--add_rotated_images turns the crop of {crop_size[0]}x{crop_size[1]}, which the pooling "
        "window of this network does not follow; pass a square crop, or leave the flag out."
    )


def _logits(images, spec, channels, crop_size):
    return network.build(images, spec, channels, crop_size=crop_size).logits


def _one_run(logits, size, spec, task, threshold):
    chosen = network.architecture(spec)
    align_corners = chosen.align_corners
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


def _joined(batches):
    # Also of one: a dependency needs an operation of its own.
    return tf.concat(batches, 0) if len(batches) > 1 else tf.identity(batches[0])


def _moved(images, symmetry: Symmetry):
    """Returns images [N, h, w, channels] in a symmetry; [N, w, h, channels] where transposed."""
    images = _mirrored(images, symmetry)
    return tf.transpose(images, [0, 2, 1, 3]) if symmetry.transposed else images


def _moved_back(outputs, symmetry: Symmetry):
    """Returns what `_moved` was given."""
    if symmetry.transposed:
        outputs = tf.transpose(outputs, [0, 2, 1, 3])
    return _mirrored(outputs, symmetry)


def _mirrored(images, symmetry):
    # One axis at a time: TFLite reverses no two at once.
    if symmetry.horizontal:
        images = tf.reverse(images, [2])
    return tf.reverse(images, [1]) if symmetry.vertical else images
