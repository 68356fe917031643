"""Boundary loss: one minus the F1 of the boundaries of label and probability."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, pixelwise, regions
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    width: int = 3,
    tolerance: int = 5,
    over: str = "image",
) -> tf.Tensor:
    """Returns the mean over classes of one minus the F1 of their boundaries, a float32 scalar.

    The boundary of a mask is where its inverse grows under a max pool of `width` pixels. Precision
    is the share of the predicted boundary that lies in the label's after a max pool of `tolerance`
    pixels, recall the same the other way round. A class without a boundary in the label does not
    count, so that the loss belongs in a sum with one of regions or pixels. Ignored pixels, and
    those of weight 0, have no boundary and make none.

    Source: Bokhovkin and Burnaev, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation",
    arXiv 1905.07852, equations 1 to 8.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      width: Side of the max pool that finds boundaries, in pixels, >= 2.
      tolerance: Side of the max pool that widens them, in pixels, >= 1.
      over: "batch" or "image": what is summed over.
    """
    probabilities = targets.task.activate(pixelwise.resized(logits, targets, context))
    weights = regions.weights_of(targets)
    seen = tf.cast(weights > 0.0, tf.float32)
    label = _boundary(targets.values(), seen, width)
    found = _boundary(probabilities, seen, width)
    labelled = regions.group(weights * label, over)
    precision = regions.ratio(
        regions.group(weights * found * _pool(label, tolerance), over),
        regions.group(weights * found, over),
        empty=0.0,
    )
    recall = regions.ratio(
        regions.group(weights * label * _pool(found, tolerance), over), labelled, empty=0.0
    )
    measure = regions.ratio(2.0 * precision * recall, precision + recall, empty=0.0)
    counts = tf.cast(labelled > 0.0, tf.float32)
    return regions.mean_where(1.0 - measure, counts, targets, context)


def _boundary(mask, seen, width):
    inverse = (1.0 - mask) * seen
    return (_pool(inverse, width) - inverse) * seen


def _pool(values, side):
    return tf.nn.max_pool(values, [1, side, side, 1], [1, 1, 1, 1], "SAME")


VARIANTS = {
    "boundary": Loss(
        build=build,
        parameters={
            "width": Parameter(3, minimum=2),
            "tolerance": Parameter(5, minimum=1),
            "over": regions.OVER._replace(default="image"),
        },
    )
}
