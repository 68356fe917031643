"""Softmax cross entropy over pixels: ignore label, class weights, hard example mining."""

from __future__ import annotations

from core import layers
from utils.compat import tf
from utils.errors import OptionError


def check(label_weights, num_classes: int):
    """Raises OptionError if there is not one weight for each class."""
    if isinstance(label_weights, (list, tuple)) and len(label_weights) != num_classes:
        raise OptionError(
            f"--label_weights has {len(label_weights)} values, but the data set has {num_classes} "
            "classes; give one value per class."
        )


def loss(
    logits: dict,
    labels: tf.Tensor,
    *,
    num_classes: int,
    ignore_label: int,
    label_weights=None,
    upsample_logits: bool = True,
    hard_example_mining_step: int = 0,
    top_k_percent_pixels: float = 1.0,
    global_step=None,
    average=None,
) -> tf.Tensor:
    """Returns the sum of the losses of several logits, each also in the collection LOSSES.

    Without mining a loss is the weighted sum of the pixels' cross entropies over the number of
    pixels that are not ignored (the mean of that number over ranks, so that the mean of their
    losses is the loss of all their images). With mining it is the mean of the largest weighted
    cross entropies, over those that are not zero. Without any pixel to count it is zero.

    A label that is neither a class nor the ignore label has loss zero and counts, and its gradient
    pushes all logits towards zero, as with the one-hot labels of the DeepLab family.

    Args:
      logits: Name -> float32 [N, h, w, num_classes], of one or more scales.
      labels: int32 [N, H, W, 1].
      num_classes: Number of classes.
      ignore_label: Label of pixels without loss.
      label_weights: Factor of each class's pixels, or one for all; None is 1.
      upsample_logits: Whether logits are resized to the labels, or the labels to the logits.
      hard_example_mining_step: Steps in which the mined fraction falls from 1 to
        `top_k_percent_pixels`; 0 mines fully from the start.
      top_k_percent_pixels: Fraction of all pixels, ignored ones included, that is mined; 1.0 is
        no mining.
      global_step: Steps done so far, needed where hard_example_mining_step is not 0.
      average: Function from a list of tensors to the list of their means over all ranks; None for
        one rank.

    Raises:
      OptionError: If label_weights does not fit the classes.
    """
    check(label_weights, num_classes)
    fraction = _mined_fraction(top_k_percent_pixels, hard_example_mining_step, global_step)
    losses = []
    for name, scale_logits in logits.items():
        with tf.name_scope(f"softmax_cross_entropy_{name}"):
            pixel_losses, counted = _weighted_pixel_losses(
                scale_logits, labels, num_classes, ignore_label, label_weights, upsample_logits
            )
            if top_k_percent_pixels == 1.0:
                losses.append(_mean(pixel_losses, counted, average))
            else:
                losses.append(_mean_of_hardest(pixel_losses, fraction))
        tf.losses.add_loss(losses[-1])
    return tf.add_n(losses, name="loss")


def _weighted_pixel_losses(
    logits, labels, num_classes, ignore_label, label_weights, upsample_logits
):
    """Returns the pixels' weighted losses, and 1.0 where a pixel is not ignored, both [P]."""
    size = layers.spatial_size(labels if upsample_logits else logits)
    if not upsample_logits:
        labels = layers.resize_nearest(labels, size)
    labels = tf.reshape(labels, [-1])
    counted = tf.cast(tf.not_equal(labels, ignore_label), tf.float32)
    is_class = tf.logical_and(labels >= 0, labels < num_classes)
    # One-hot labels would need as much memory as the logits. Labels that are no class are looked
    # up as class 0 and corrected in the sum; the ignored ones get weight 0.
    classes = tf.where(is_class, labels, tf.zeros_like(labels))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=classes,
        logits=tf.reshape(layers.resize_bilinear(logits, size), [-1, num_classes]),
    )
    # Where the label is no class, the gradient becomes that of the log partition function, the
    # softmax, and the value zero. One channel is resized again because slicing the resized logits
    # would cost a gradient of their full size.
    other = 1.0 - tf.cast(is_class, tf.float32)
    losses += other * tf.reshape(layers.resize_bilinear(logits[..., :1], size), [-1])
    losses -= tf.stop_gradient(other * losses)
    return losses * _weights(classes, is_class, counted, label_weights), counted


def _weights(classes, is_class, counted, label_weights):
    if label_weights is None:
        return counted
    if isinstance(label_weights, (int, float)):
        return counted * float(label_weights)
    of_class = tf.gather(tf.constant(label_weights, tf.float32), classes)
    return counted * tf.cast(is_class, tf.float32) * of_class


def _mined_fraction(top_k_percent_pixels, hard_example_mining_step, global_step):
    """Returns the fraction of pixels to mine: a number, or a tensor while it changes."""
    if not hard_example_mining_step:
        return top_k_percent_pixels
    done = tf.cast(global_step, tf.float32) / float(hard_example_mining_step)
    done = tf.minimum(done, 1.0)
    return done * top_k_percent_pixels + (1.0 - done)


def _mean_of_hardest(losses, fraction):
    """Returns the mean of the largest losses that are not zero."""
    pixels = losses.shape.num_elements() or tf.shape(losses)[0]
    count = tf.cast(fraction * tf.cast(pixels, tf.float32), tf.int32)
    # All are sorted and a mask chooses: shapes stay static while the fraction changes, as a
    # device's compiler wants, and on CPU sorting all is not slower than finding a quarter.
    ordered = tf.nn.top_k(losses, pixels).values
    hardest = tf.where(tf.range(pixels) < count, ordered, tf.zeros_like(ordered))
    return _mean(hardest, tf.cast(tf.not_equal(hardest, 0.0), tf.float32))


def _mean(losses, counted, average=None):
    number = tf.reduce_sum(counted)
    if average is not None:
        (number,) = average([number])
    # Nothing counted: the sum is zero too, and so is the result.
    return tf.reduce_sum(losses) / tf.maximum(number, 1.0)
