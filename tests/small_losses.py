"""Losses on arrays: logits and labels of each task, and a loss with its gradient."""

import numpy as np

from core import task as tasks
from core.losses import Context, objective
from options.loss import LossOptions
from utils.classes import ClassSet, default_names
from utils.compat import tf

IGNORE = 255


def classes_of(task, count=4):
    """Returns classes of a task; a binary one has two."""
    return ClassSet(default_names(2 if task == "binary" else count), task=task)


def random_logits(classes, seed=0, size=(2, 3, 4)):
    """Returns logits, float32 [*size, channels]."""
    channels = tasks.of(classes).channels(classes.count)
    return np.random.RandomState(seed).standard_normal([*size, channels]).astype(np.float32)


def random_labels(classes, seed=1, size=(2, 3, 4)):
    """Returns labels as a batch has them, without ignored ones."""
    random = np.random.RandomState(seed)
    if tasks.of(classes).is_exclusive:
        return random.randint(0, classes.count, [*size, 1]).astype(np.int32)
    return random.randint(0, 2, [*size, classes.count]).astype(np.uint8)


def loss_and_gradient(logits, labels, classes, *, global_step=None, average=None, **options):
    """Returns the loss of one output and its gradient; logits and labels are arrays."""
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = tf.constant(logits)
        step = None if global_step is None else tf.constant(global_step, tf.int64)
        value = objective.build(
            {"merged": (tensor, 1.0)},
            tf.constant(labels),
            classes,
            Context(LossOptions(**options), step, average),
        )
        return session.run([value, tf.gradients(value, tensor)[0]])
