"""The task: exclusive classes, an object and its background, or independent labels.

| task | labels of a batch | logits | probabilities | decision |
| --- | --- | --- | --- | --- |
| multiclass | int32 [N, h, w, 1], class ids | one per class | softmax | the largest |
| binary | int32 [N, h, w, 1], 0 or 1 | one | sigmoid, of class 1 | above the threshold |
| multilabel | int32 [N, h, w, classes], 0 or 1 | one per class | sigmoid | above the threshold |

In exclusive tasks (the first two) the ignore label is that of the class set; a multi-label target
of 255 is ignored. This is the only module that refers to a task by its name; all others use the
`Task` record.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Callable, NamedTuple

import numpy as np

from options.task import TaskOptions
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

# Where logits are made of probabilities, these are at least this far from 0 and 1.
_LEAST_PROBABILITY = 1e-7
# Value of an ignored target of a multi-label batch.
IGNORED = 255


class Targets(NamedTuple):
    """What a loss compares logits with.

    Attributes:
      labels: The labels, int32; [N, h, w, 1] in exclusive tasks, [N, h, w, classes] in multi-label
        ones.
      counted: float32 in the shape of labels, 1 where a target counts and 0 where it is ignored.
      weights: float32 in the shape of labels, `counted` times the weight of the class.
      class_weights: In multi-label tasks the weight of each channel, float32 [channels], which
        `weights` contains; None where all weigh the same, and in exclusive tasks.
      task: The task.
      values: Function that builds the targets as 0 or 1, float32 [N, h, w, channels]: they need as
        much memory as the logits, and not every loss needs them.
    """

    labels: tf.Tensor
    counted: tf.Tensor
    weights: tf.Tensor
    values: Callable
    task: Task
    class_weights: tf.Tensor | None = None


class Task(abc.ABC):
    """How logits, probabilities and labels relate.

    Predicted labels are int32 [N, h, w] in exclusive tasks and [N, h, w, classes] of 0 and 1 else.

    Attributes:
      name: Its name in `--task` and `dataset.json`.
      is_exclusive: Whether a pixel has exactly one class.
      uses_threshold: Whether a probability must exceed a threshold.
      sums_to_one: Whether the probabilities of a pixel sum to one, so that one channel more is
        another one less.
      loss: Name of the default loss.
      monitor: Name of the score that selects the best checkpoint by default.
      measures: Names of the measures that an evaluation always makes.
    """

    name: str
    is_exclusive: bool
    uses_threshold: bool = True
    sums_to_one: bool = False
    loss: str
    monitor: str
    measures: tuple

    @abc.abstractmethod
    def channels(self, num_classes: int) -> int:
        """Returns the number of logits per pixel."""

    @abc.abstractmethod
    def num_classes(self, channels: int) -> int:
        """Returns the number of classes of a network with so many logits per pixel."""

    @abc.abstractmethod
    def activate(self, logits: tf.Tensor) -> tf.Tensor:
        """Returns the probabilities of logits [..., channels]; same shape."""

    @abc.abstractmethod
    def activate_array(self, logits: np.ndarray) -> np.ndarray:
        """Returns what `activate` returns, for an array."""

    @abc.abstractmethod
    def logits_of(self, probabilities, math=tf.math):
        """Returns logits whose `activate` returns these probabilities, to 1e-7.

        Args:
          probabilities: [..., channels], a tensor, or an array if `math` is NumPy.
          math: The module with `log`, `maximum` and `minimum`.
        """

    @abc.abstractmethod
    def decide(self, probabilities: tf.Tensor, threshold=0.5) -> tf.Tensor:
        """Returns the predicted labels, int32.

        Args:
          probabilities: [N, h, w, channels].
          threshold: What a probability must exceed, one number or one per channel; the largest
            probability of exclusive classes needs none.
        """

    @abc.abstractmethod
    def decide_logits(self, logits: tf.Tensor, threshold=0.5) -> tf.Tensor:
        """Returns what `decide` returns for the probabilities of these logits."""

    @abc.abstractmethod
    def decide_array(self, probabilities: np.ndarray, threshold=0.5) -> np.ndarray:
        """Returns what `decide` returns, for an array [..., channels]."""

    @abc.abstractmethod
    def decide_planes(self, planes, resize, threshold=0.5) -> np.ndarray:
        """Returns the labels of probabilities that are resized channel by channel.

        Args:
          planes: Arrays [h, w], one per channel.
          resize: Called with a plane, returns it at the wanted size.
          threshold: As for `decide`.

        Returns:
          uint8 [height, width], or [height, width, classes].
        """

    @abc.abstractmethod
    def confidence(self, probabilities):
        """Returns the probability of the likelier answer, in the shape of predicted labels.

        Args:
          probabilities: [N, h, w, channels], a tensor.
        """

    @abc.abstractmethod
    def targets(self, labels: tf.Tensor, classes: ClassSet, label_weights=None) -> Targets:
        """Returns the targets of a batch and their weights.

        Args:
          labels: The labels of a batch.
          classes: The classes of the data.
          label_weights: One weight per class; None: all 1.
        """

    @abc.abstractmethod
    def is_ignored(self, labels: tf.Tensor, classes: ClassSet) -> tf.Tensor:
        """Returns where labels are marked as ignored, bool in their shape."""

    @abc.abstractmethod
    def is_label(self, labels: tf.Tensor, classes: ClassSet) -> tf.Tensor:
        """Returns where labels are among those that a prediction can have, bool in their shape."""

    def channel_names(self, classes: ClassSet) -> tuple:
        """Returns the name of the class of each channel."""
        return classes.names[-self.channels(classes.count) :]

    @abc.abstractmethod
    def planes(self, labels: tf.Tensor, num_classes: int) -> tf.Tensor:
        """Returns where each channel's class is set, bool [N, h, w, channels].

        Args:
          labels: In the shape of predicted ones.
          num_classes: Number of classes.
        """

    @abc.abstractmethod
    def loss_at_chance(self, num_classes: int) -> float:
        """Returns the cross entropy per target of random guessing."""

    def class_masks(self, labels: np.ndarray, num_classes: int) -> list:
        """Returns where each class is set in an image's labels, bool [h, w] by class.

        Args:
          labels: Predicted labels, [h, w] or [h, w, classes].
          num_classes: Number of classes.
        """
        if self.is_exclusive:
            return [labels == label for label in range(num_classes)]
        return [labels[..., label] == 1 for label in range(num_classes)]

    def label_shape(self, batch, height, width, num_classes: int) -> list:
        """Returns the shape of predicted labels."""
        return [batch, height, width] + [num_classes] * (not self.is_exclusive)

    def squeeze(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns a batch's labels in the shape of predicted ones."""
        return tf.squeeze(labels, 3) if self.is_exclusive else labels

    def check(self, num_classes: int):
        """Raises OptionError if a data set with so many classes cannot have this task."""
        if self.num_classes(self.channels(num_classes)) != num_classes:
            raise OptionError(
                f"--task={self.name} does not fit {num_classes} classes; it needs "
                f"{self.num_classes(1)}: background and object."
            )


class _Exclusive(Task):
    """A pixel has exactly one class."""

    is_exclusive = True

    def is_ignored(self, labels, classes):
        # Labels are never negative.
        return tf.equal(labels, -1 if classes.ignore_label is None else classes.ignore_label)

    def is_label(self, labels, classes):
        return (labels >= 0) & (labels < classes.count)

    def _weights(self, labels, classes, label_weights):
        """Returns which labels are not ignored, and their weights; zero for no class."""
        counted = tf.cast(tf.logical_not(self.is_ignored(labels, classes)), tf.float32)
        if label_weights is None:
            return counted, counted
        is_class = self.is_label(labels, classes)
        label = tf.where(is_class, labels, tf.zeros_like(labels))
        of_class = tf.gather(tf.constant(label_weights, tf.float32), label)
        return counted, counted * tf.cast(is_class, tf.float32) * of_class


class _Multiclass(_Exclusive):
    name = "multiclass"
    uses_threshold = False
    sums_to_one = True
    loss = "cross_entropy"
    monitor = "miou"
    measures = ("confusion",)

    def channels(self, num_classes):
        return num_classes

    def num_classes(self, channels):
        return channels

    def activate(self, logits):
        return tf.nn.softmax(logits)

    def activate_array(self, logits):
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def logits_of(self, probabilities, math=tf.math):
        return math.log(math.maximum(probabilities, _LEAST_PROBABILITY))

    def decide(self, probabilities, threshold=0.5):
        return tf.argmax(probabilities, 3, output_type=tf.int32)

    def decide_logits(self, logits, threshold=0.5):
        return self.decide(logits)

    def decide_array(self, probabilities, threshold=0.5):
        return probabilities.argmax(-1).astype(np.int32)

    def decide_planes(self, planes, resize, threshold=0.5):
        best = resize(planes[0])
        labels = np.zeros(best.shape, np.uint8)
        for label, plane in enumerate(planes[1:], 1):
            if plane.max() * len(planes) < 1:
                # The winning class has probability >= 1/n, so this class wins nowhere.
                continue
            plane = resize(plane)
            larger = plane > best
            labels[larger] = label
            best[larger] = plane[larger]
        return labels

    def confidence(self, probabilities):
        return tf.reduce_max(probabilities, axis=3)

    def targets(self, labels, classes, label_weights=None):
        # A label that is no class counts, without a target: so it is in the DeepLab family.
        counted, weights = self._weights(labels, classes, label_weights)
        return Targets(
            labels, counted, weights, lambda: tf.one_hot(tf.squeeze(labels, 3), classes.count), self
        )

    def planes(self, labels, num_classes):
        return tf.equal(labels[..., tf.newaxis], tf.range(num_classes))

    def loss_at_chance(self, num_classes):
        return math.log(num_classes)


class _Sigmoid(Task):
    """Every channel is a yes or no of its own."""

    loss = "binary_cross_entropy"

    def activate(self, logits):
        return tf.sigmoid(logits)

    def activate_array(self, logits):
        return 1 / (1 + np.exp(-logits))

    def logits_of(self, probabilities, math=tf.math):
        least = math.maximum(probabilities, _LEAST_PROBABILITY)
        inside = math.minimum(least, 1 - _LEAST_PROBABILITY)
        # Not log1p, which TFLite of TensorFlow 1.15 cannot run; 1 - p is exact where it matters.
        return math.log(inside) - math.log(1 - inside)

    def decide(self, probabilities, threshold=0.5):
        return self._shaped(tf.cast(probabilities > _floats(threshold), tf.int32))

    def decide_logits(self, logits, threshold=0.5):
        with np.errstate(divide="ignore"):
            limit = np.log(_floats(threshold)) - np.log1p(-_floats(threshold))
        return self._shaped(tf.cast(logits > limit, tf.int32))

    def decide_array(self, probabilities, threshold=0.5):
        return self._shaped_array((probabilities > _floats(threshold)).astype(np.int32))

    def decide_planes(self, planes, resize, threshold=0.5):
        limits = np.broadcast_to(_floats(threshold), [len(planes)])
        decided = [resize(plane) > limit for plane, limit in zip(planes, limits)]
        return self._shaped_array(np.stack(decided, axis=2).astype(np.uint8))

    def confidence(self, probabilities):
        return self._shaped(tf.maximum(probabilities, 1.0 - probabilities))

    def loss_at_chance(self, num_classes):
        return math.log(2)

    def _shaped(self, values):
        """Returns a tensor [N, h, w, channels] in the shape of labels."""
        return values

    def _shaped_array(self, values):
        """Returns an array [..., channels] in the shape of labels."""
        return values


class _Binary(_Sigmoid, _Exclusive):
    name = "binary"
    monitor = "iou"
    measures = ("object", "confusion", "per_image")

    def channels(self, num_classes):
        return 1

    def num_classes(self, channels):
        return 2

    def targets(self, labels, classes, label_weights=None):
        counted, weights = self._weights(labels, classes, label_weights)
        is_class = tf.cast(self.is_label(labels, classes), tf.float32)
        return Targets(labels, counted * is_class, weights * is_class, lambda: _ones(labels), self)

    def planes(self, labels, num_classes):
        return tf.equal(labels, 1)[..., tf.newaxis]

    def _shaped(self, values):
        # Not values[..., 0], which TFLite of TensorFlow 1.15 cannot run.
        return tf.squeeze(values, 3)

    def _shaped_array(self, values):
        return values[..., 0]


class _Multilabel(_Sigmoid):
    name = "multilabel"
    is_exclusive = False
    monitor = "mean_iou_of_labels"
    measures = ("labels", "per_image")

    def channels(self, num_classes):
        return num_classes

    def num_classes(self, channels):
        return channels

    def is_ignored(self, labels, classes):
        return tf.equal(labels, IGNORED)

    def is_label(self, labels, classes):
        return (labels >= 0) & (labels <= 1)

    def targets(self, labels, classes, label_weights=None):
        counted = tf.cast(tf.not_equal(labels, IGNORED), tf.float32)
        weights, class_weights = counted, None
        if label_weights is not None:
            class_weights = tf.constant(label_weights, tf.float32)
            weights = counted * class_weights
        return Targets(labels, counted, weights, lambda: _ones(labels), self, class_weights)

    def planes(self, labels, num_classes):
        return tf.equal(labels, 1)


def _ones(labels):
    """Returns 1.0 where a label is 1, else 0.0."""
    return tf.cast(tf.equal(labels, 1), tf.float32)


def _floats(threshold) -> np.ndarray:
    return np.asarray(threshold, np.float32)


MULTICLASS = _Multiclass()
TASKS = {task.name: task for task in (MULTICLASS, _Binary(), _Multilabel())}


def of(classes: ClassSet) -> Task:
    """Returns the task of a set of classes."""
    return TASKS[classes.task]


def resolve(options: TaskOptions, classes: ClassSet, of_network: str | None = None) -> ClassSet:
    """Returns the classes with the task that the options name.

    Args:
      options: The options.
      classes: The classes of the data.
      of_network: The task of the network, if known: the default. Else it is that of the classes.

    Raises:
      OptionError: If labels of the data are of another kind, the number of classes does not fit, or
        a threshold has no effect.
    """
    name = options.task or of_network or classes.task
    task = TASKS[name]
    if task.is_exclusive != of(classes).is_exclusive:
        raise OptionError(
            f"--task={name}, but the labels of the data are {classes.task}; leave the flag out, or "
            "convert the data again."
        )
    task.check(classes.count)
    if options.threshold is not None and not task.uses_threshold:
        given = ",".join(f"{value:g}" for value in options.threshold)
        raise OptionError(
            f"--threshold={given} has no effect with --task={name}, where the most "
            "probable class is predicted; leave it out."
        )
    return dataclasses.replace(classes, task=name)
