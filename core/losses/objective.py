"""What training minimizes besides weight decay: the chosen loss over all supervised outputs."""

from __future__ import annotations

import core.losses
from core import layers
from core import task as tasks
from core.losses import Context, Loss
from core.task import Task
from options.loss import LossOptions
from utils import variants
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

# Name -> record of every loss; the folder is the registry.
LOSSES = variants.collect(core.losses)


def of(options: LossOptions, task: Task) -> Loss:
    """Returns the chosen loss, by default the task's own.

    Raises:
      OptionError: If there is no such loss, or it cannot train the task.
    """
    name = options.loss or task.loss
    loss = variants.lookup(LOSSES, name, "--loss")
    if task.name not in loss.tasks:
        fitting = sorted(name for name, other in LOSSES.items() if task.name in other.tasks)
        raise OptionError(
            f"--loss={name} does not fit --task={task.name}: {loss.reason}. Losses for this task: "
            f"{', '.join(fitting)}."
        )
    return loss


def check(options: LossOptions, classes: ClassSet):
    """Refuses a loss before any graph is built.

    Raises:
      OptionError: If the loss does not fit the task, or the class weights do not fit the classes.
    """
    of(options, tasks.of(classes))
    weights = options.label_weights
    if weights is not None and len(weights) != classes.count:
        raise OptionError(
            f"--label_weights has {len(weights)} values, but the data set has {classes.count} "
            "classes; give one value per class."
        )


def build(outputs: dict, labels: tf.Tensor, classes: ClassSet, context: Context) -> tf.Tensor:
    """Returns the weighted sum of the losses of all outputs, each also in the collection LOSSES.

    Args:
      outputs: Name -> (float32 logits [N, h, w, channels], weight).
      labels: The labels of the batch, integers [N, H, W, channels of labels].
      classes: The classes of the data.
      context: See `Context`.
    """
    task = tasks.of(classes)
    loss = of(context.options, task)
    terms = []
    for name, (logits, weight) in outputs.items():
        with tf.name_scope(f"loss_{name}"):
            targets = _targets(logits, labels, task, classes, context)
            value = loss.build(logits, targets, context)
        tf.losses.add_loss(value)
        terms.append(value if weight == 1.0 else weight * value)
    return tf.add_n(terms, name="loss")


def _targets(logits, labels, task, classes, context):
    if not context.options.upsample_logits:
        size = layers.spatial_size(logits)
        labels = layers.resize_nearest(labels, size, context.align_corners)
    return task.targets(labels, classes, context.options.label_weights)
