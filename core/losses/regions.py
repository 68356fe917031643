"""Regions: sums of labels and probabilities by class, over the batch or each image.

Losses of overlap are made of these sums. A target counts with its weight: a pixel of weight 2 is
two pixels, an ignored one is none. In multi-label tasks the weight of a class is that of its loss,
since a weight of all of its targets would cancel.
"""

from __future__ import annotations

from typing import NamedTuple

from core.losses import Context, Parameter, pixelwise
from core.task import Targets
from utils.compat import tf

SMOOTH = Parameter(1.0, minimum=0.0)
OVER = Parameter("batch", choices=("batch", "image"))

# A sum below is taken as zero: its reciprocal would overflow.
_SMALLEST = 1e-12


class Region(NamedTuple):
    """Sums over the targets that count, float32 [groups, channels]; a group is what `over` says.

    Attributes:
      both: Sum of label x probability.
      labelled: Sum of labels.
      predicted: Sum of probabilities, or of their squares.
      counted: Sum of weights; in exclusive tasks [groups, 1].
    """

    both: tf.Tensor
    labelled: tf.Tensor
    predicted: tf.Tensor
    counted: tf.Tensor


def weights_of(targets: Targets) -> tf.Tensor:
    """Returns how often each target counts in a region, float32 in the shape of the labels."""
    return targets.weights if targets.class_weights is None else targets.counted


def sums(
    logits: tf.Tensor, targets: Targets, context: Context, over: str, squared: bool = False
) -> Region:
    """Returns the sums of an output.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      over: "batch" or "image".
      squared: Whether the squares of the probabilities are summed.
    """
    probabilities = targets.task.activate(pixelwise.resized(logits, targets, context))
    values, weights = targets.values(), weights_of(targets)
    weighted = weights * values
    return Region(
        group(weighted * probabilities, over),
        group(weighted, over),
        group(weights * (tf.square(probabilities) if squared else probabilities), over),
        group(weights, over),
    )


def group(values: tf.Tensor, over: str) -> tf.Tensor:
    """Returns the sums of [N, h, w, channels] by group, [groups, channels]."""
    sums_of_images = tf.reduce_sum(values, axis=[1, 2])
    return sums_of_images if over == "image" else tf.reduce_sum(sums_of_images, 0, keepdims=True)


def ratio(part: tf.Tensor, whole: tf.Tensor, empty: float = 1.0) -> tf.Tensor:
    """Returns part / whole, without gradient `empty` where the whole is zero."""
    is_empty = whole < _SMALLEST
    ones = tf.ones_like(whole)
    return tf.where(is_empty, empty * ones, part / tf.where(is_empty, ones, whole))


def mean(losses: tf.Tensor, region: Region, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean over the classes of a group, and of that over groups; a float32 scalar.

    A class counts in a group where any of its targets does. If the probabilities of a pixel sum to
    one, it must also be labelled there: false positives of an absent class are what present ones
    miss. Elsewhere an absent class counts, since only its own loss can speak against it.

    Args:
      losses: float32 [groups, channels].
      region: The sums that they are made of.
      targets: The targets.
      context: See `Context`; groups that count are averaged over ranks.
    """
    sums_to_one = targets.task.sums_to_one
    counts = tf.cast((region.labelled if sums_to_one else region.counted) > 0.0, tf.float32)
    return mean_where(losses, counts, targets, context)


def mean_where(losses, counts, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean of losses [groups, channels] where `counts`, float32 in that shape, is 1."""
    weighted = losses * counts
    if targets.class_weights is not None:
        weighted *= targets.class_weights
    of_group = pixelwise.over(tf.reduce_sum(weighted, axis=1), tf.reduce_sum(counts, axis=1))
    groups = tf.reduce_sum(tf.reduce_max(counts, axis=1))
    return pixelwise.over(tf.reduce_sum(of_group), groups, context.average)
