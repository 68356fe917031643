"""Losses on arrays: logits and labels of each task, and losses with their gradients."""

import functools

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


def blocks(classes, seed=1, size=(2, 9, 12)):
    """Returns random labels in blocks of 3x3 pixels, so that they have boundaries and insides."""
    small = random_labels(classes, seed, (size[0], -(-size[1] // 3), -(-size[2] // 3)))
    return small.repeat(3, axis=1).repeat(3, axis=2)[:, : size[1], : size[2]]


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


def all_losses(logits, labels, classes, names, *, rank_factor=1.0, **options):
    """Returns name -> (loss, gradient) of several losses, from a graph that is built once.

    Args:
      logits: An array.
      labels: An array.
      classes: The classes.
      names: Tuple of losses.
      rank_factor: The mean over ranks of a number is this times that of the one rank.
      **options: Options of the loss.
    """
    key = (logits.shape, labels.shape, labels.dtype, classes, names, rank_factor)
    session, fetches, feeds = _graph(*key, tuple(sorted(options.items())))
    return session.run(fetches, dict(zip(feeds, (logits, labels))))


@functools.lru_cache(maxsize=None)
def _graph(shape, labels_shape, labels_type, classes, names, rank_factor, options):
    def average(values):
        return [rank_factor * value for value in values]

    with tf.Graph().as_default():
        logits = tf.placeholder(tf.float32, shape)
        labels = tf.placeholder(labels_type, labels_shape)
        fetches = {}
        for name in names:
            context = Context(LossOptions(loss=name, **dict(options)), average=average)
            value = objective.build({"merged": (logits, 1.0)}, labels, classes, context)
            fetches[name] = value, tf.gradients(value, logits)[0]
        return tf.Session(), fetches, (logits, labels)
