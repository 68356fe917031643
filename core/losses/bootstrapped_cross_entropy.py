"""Cross entropy of the hardest pixels of each image."""

from __future__ import annotations

from core.losses import Context, Loss, Parameter, entropies
from core.task import Targets
from utils.compat import tf


def build(
    logits: tf.Tensor,
    targets: Targets,
    context: Context,
    k: int = 4096,
    threshold: float = 0.3,
    pixels_per_k: int = 0,
) -> tf.Tensor:
    """Returns the mean over images of the mean loss of their hardest targets, a float32 scalar.

    Of each image the weighted cross entropies are sorted downwards. If the one at index k, counted
    from 0, exceeds the threshold, those above the threshold are averaged, else the first k, or
    all of a smaller image. Ignored targets have loss 0: they are among the first k only if fewer
    than k targets count, and an image without any adds 0 to the mean.

    Source: Wu et al., "Bridging Category-level and Instance-level Semantic Image Segmentation",
    arXiv 1605.06885, section 3; the rule and the defaults are those of FC-HarDNet's training
    (github.com/PingoLH/FCHarDNet), for several outputs `pixels_per_k=128`.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      k: The least number of targets, >= 1.
      threshold: Loss above which more are averaged.
      pixels_per_k: Above 0: k is the number of pixels of the first output's logits over this.
    """
    losses = entropies.of_task(logits, targets, context) * targets.weights
    images = losses.shape.as_list()[0]
    losses = tf.reshape(losses, [images, -1])
    number = losses.shape.as_list()[1]
    if pixels_per_k:
        height, width = context.first_size
        k = max(height * width // pixels_per_k, 1)
    k = min(k, number)
    hardest = tf.nn.top_k(losses, min(k + 1, number)).values
    loss = tf.reduce_mean(hardest[:, :k], axis=1)
    if k < number:
        above = tf.cast(losses > threshold, tf.float32)
        count = tf.maximum(tf.reduce_sum(above, axis=1), 1.0)
        mean_above = tf.reduce_sum(losses * above, axis=1) / count
        loss = tf.where(hardest[:, k] > threshold, mean_above, loss)
    return tf.reduce_mean(loss)


VARIANTS = {
    "bootstrapped_cross_entropy": Loss(
        build=build,
        parameters={
            "k": Parameter(4096, minimum=1),
            "threshold": Parameter(0.3, minimum=0.0),
            "pixels_per_k": Parameter(0, minimum=0),
        },
    )
}
