"""The losses of the Keras segmentation pipeline (musket_ml), exactly as it computes them.

Our forms of the same names without prefix are means that do not depend on the size of the picture.
These are for comparing and for files of that system. They take the probabilities y' of the network
(Keras 2.2.4, segmentation_models 0.2.1 and the pipeline's own losses); ignored pixels and weights,
which the original does not have, count as everywhere here. Two things differ: `focal_loss` is
finite where the original is infinite (y = 0, y' = 1), and an image without any target that counts
has no part in a mean over images.
"""

from __future__ import annotations

from core.losses import Context, Loss, lovasz, pixelwise, regions
from core.task import Targets
from utils.compat import tf

_EPSILON = 1e-7
# The largest float32 below 1; the original's 1 - 1e-15 is 1 in float32.
_BELOW_ONE = 1.0 - 2.0**-24


def _of(logits, targets, context) -> tuple:
    """Returns labels and probabilities, float32 [N, h, w, channels]."""
    probabilities = targets.task.activate(pixelwise.resized(logits, targets, context))
    return targets.values(), probabilities


def _binary_crossentropy(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean binary cross entropy of y' clipped to [1e-7, 1 - 1e-7]."""
    values, probabilities = _of(logits, targets, context)
    clipped = tf.clip_by_value(probabilities, _EPSILON, 1.0 - _EPSILON)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=values, logits=tf.log(clipped / (1.0 - clipped))
    )
    return pixelwise.mean_of_channels(losses, targets, context)


def _categorical_crossentropy(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean of -sum y log y', y' over their sum clipped to [1e-7, 1 - 1e-7]."""
    values, probabilities = _of(logits, targets, context)
    inside, pixels = pixelwise.of_pixels(targets)
    shares = probabilities / tf.reduce_sum(probabilities, axis=3, keepdims=True)
    clipped = tf.clip_by_value(shares, _EPSILON, 1.0 - _EPSILON)
    losses = -tf.reduce_sum(inside * values * tf.log(clipped), axis=3)
    return pixelwise.mean(losses, pixels, context)


def _dice_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean of 1 - (2 sum yy' + 1) / (sum y^2 + sum y'^2 + 1), sums over channels."""
    values, probabilities = _of(logits, targets, context)
    inside, pixels = pixelwise.of_pixels(targets)
    both = tf.reduce_sum(inside * values * probabilities, axis=3)
    squares = tf.reduce_sum(inside * (tf.square(values) + tf.square(probabilities)), axis=3)
    return pixelwise.mean(1.0 - (2.0 * both + 1.0) / (squares + 1.0), pixels, context)


def _jaccard_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean of 100 (1 - (I + 100) / (S - I + 100)), sums over channels.

    I = sum |yy'|, S = sum |y| + |y'|: through the absolute values y' = 0 has no gradient.
    """
    values, probabilities = _of(logits, targets, context)
    inside, pixels = pixelwise.of_pixels(targets)
    both = tf.reduce_sum(inside * tf.abs(values * probabilities), axis=3)
    sizes = tf.reduce_sum(inside * (tf.abs(values) + tf.abs(probabilities)), axis=3)
    losses = 100.0 * (1.0 - (both + 100.0) / (sizes - both + 100.0))
    return pixelwise.mean(losses, pixels, context)


def _iou_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns -2 x the mean over images of (sum yy' + 1) / (sum y + sum y' + 1): a Dice."""
    values, probabilities = _of(logits, targets, context)

    def total(array):
        return tf.reduce_sum(targets.weights * array, axis=[1, 2, 3])

    measure = (total(values * probabilities) + 1.0) / (total(values + probabilities) + 1.0)
    return _mean_of_images(-2.0 * measure, targets, context)


def _focal_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the sum of -0.25 y (1 - y')^2 log y' and -0.75 (1 - y) y'^2 log(1 - y').

    y' is clipped to [1e-15, 1 - 2^-24]. The sum grows with the picture.
    """
    values, probabilities = _of(logits, targets, context)
    clipped = tf.clip_by_value(probabilities, 1e-15, _BELOW_ONE)
    of_object = 0.25 * tf.square(1.0 - clipped) * tf.log(clipped)
    of_other = 0.75 * tf.square(clipped) * tf.log(1.0 - clipped)
    losses = values * of_object + (1.0 - values) * of_other
    return -tf.reduce_sum(targets.weights * losses)


def _lovasz_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the mean over images of the Lovász hinge with elu(error), of logits."""
    return _lovasz(pixelwise.resized(logits, targets, context), targets, context)


def _lovasz_loss_of_probabilities(
    logits: tf.Tensor, targets: Targets, context: Context
) -> tf.Tensor:
    """Returns `_lovasz_loss` of probabilities in place of logits, as the pipeline has it in sums.

    There the final activation is only left out for a `lovasz_loss` that stands alone.
    """
    return _lovasz(_of(logits, targets, context)[1], targets, context)


def _lovasz(scores, targets, context):
    values = targets.values()
    parts = (lovasz.hinge(scores, values), values, targets.weights)
    losses = lovasz.extension(*(lovasz.rows(part, scores, "image") for part in parts), tf.nn.elu)
    return _mean_of_images(losses, targets, context)


def _f1_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns 1 - the mean over places and channels of the F1 whose counts are over the images.

    Precision tp / (tp + fp + e), recall tp / (tp + fn + e), F1 2 pr / (p + r + e), e = 1e-7.
    """
    values, probabilities = _of(logits, targets, context)
    weights = regions.weights_of(targets)

    def total(array):
        return tf.reduce_sum(weights * array, axis=0)

    true = total(values * probabilities)
    precision = true / (total(probabilities) + _EPSILON)
    recall = true / (total(values) + _EPSILON)
    measure = 2.0 * precision * recall / (precision + recall + _EPSILON)
    counts = tf.cast(total(tf.ones_like(values)) > 0.0, tf.float32)
    losses = counts * (1.0 - measure)
    if targets.class_weights is not None:
        losses *= targets.class_weights
    return pixelwise.over(tf.reduce_sum(losses), tf.reduce_sum(counts))


def _l2_loss(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the sum of (y - y')^2."""
    values, probabilities = _of(logits, targets, context)
    return tf.reduce_sum(targets.weights * tf.square(values - probabilities))


def _mean_of_images(losses, targets, context):
    counts = tf.cast(tf.reduce_max(targets.weights, axis=[1, 2, 3]) > 0.0, tf.float32)
    return pixelwise.over(tf.reduce_sum(counts * losses), tf.reduce_sum(counts), context.average)


_BINARY = {"tasks": ("binary",), "reason": "it is the Lovász hinge of one channel"}

VARIANTS = {
    "musket.binary_crossentropy": Loss(_binary_crossentropy, mines=True),
    "musket.log_loss": Loss(_binary_crossentropy, mines=True),
    "musket.categorical_crossentropy": Loss(
        _categorical_crossentropy,
        tasks=("multiclass",),
        reason="it compares classes that exclude each other",
        mines=True,
    ),
    "musket.dice_loss": Loss(_dice_loss, mines=True),
    "musket.jaccard_loss": Loss(_jaccard_loss, mines=True),
    "musket.iou_loss": Loss(_iou_loss),
    "musket.focal_loss": Loss(_focal_loss),
    "musket.lovasz_loss": Loss(_lovasz_loss, **_BINARY),
    "musket.lovasz_loss_of_probabilities": Loss(_lovasz_loss_of_probabilities, **_BINARY),
    "musket.f1_loss": Loss(_f1_loss),
    "musket.l2_loss": Loss(_l2_loss),
}
