"""Writes images of the current batch to TensorBoard."""

from __future__ import annotations

import time

import numpy as np

from core import layers
from core import task as tasks
from core.training.step import TrainStep
from utils.classes import ClassSet
from utils.compat import tf

_WHITE = 255


class LogImages(tf.train.SessionRunHook):
    """Writes a batch to TensorBoard every so many seconds: images, labels, predictions."""

    def __init__(self, folder: str, step: TrainStep, seconds: int, classes: ClassSet):
        """Makes the hook.

        Args:
          folder: Where event files go.
          step: The training step.
          seconds: Time between two batches.
          classes: The classes, with their colours; ignored pixels are white.
        """
        self._folder = folder
        self._step = step
        self._seconds = seconds
        self._classes = classes
        self._task = tasks.of(classes)
        self._due = 0.0

    def begin(self):
        """Builds the images; called before the graph is finalized."""
        labels = self._step.labels
        predictions = self._task.decide_logits(self._step.logits)
        if self._task.is_exclusive:
            predictions = predictions[..., None]
        predictions = layers.resize_nearest(predictions, layers.spatial_size(labels))
        self._summary = tf.summary.merge(
            [
                tf.summary.image("train/image", tf.cast(self._step.images, tf.uint8)),
                tf.summary.image("train/label", self._painted(labels)),
                tf.summary.image("train/prediction", self._painted(predictions)),
            ],
            collections=[],
        )
        self._writer = tf.summary.FileWriter(self._folder, filename_suffix=".images")

    def _painted(self, labels):
        """Returns labels of a batch in colours, uint8 [N, h, w, 3]."""
        if self._task.is_exclusive:
            palette = np.full([256, 3], _WHITE, np.uint8)
            palette[: self._classes.count] = self._classes.colors
            if self._classes.ignore_label is not None:
                palette[self._classes.ignore_label] = _WHITE
            return tf.gather(tf.constant(palette), labels[..., 0])
        # A pixel has the mean colour of its labels, black without any.
        present = tf.cast(tf.equal(labels, 1), tf.float32)
        colors = tf.constant(self._classes.colors, tf.float32)
        number = tf.maximum(tf.reduce_sum(present, 3, keepdims=True), 1.0)
        painted = tf.tensordot(present, colors, 1) / number
        ignored = tf.reduce_any(tf.equal(labels, tasks.IGNORED), 3, keepdims=True)
        white = tf.fill(tf.shape(painted), float(_WHITE))
        ignored = tf.logical_and(ignored, tf.ones_like(painted, tf.bool))
        return tf.cast(tf.where(ignored, white, painted), tf.uint8)

    def before_run(self, unused_context):
        """Fetches the images of the current batch, if they are due."""
        return tf.train.SessionRunArgs(self._summary) if time.monotonic() >= self._due else None

    def after_run(self, run_context, run_values):
        """Writes the images."""
        if run_values.results is None:
            return
        step = run_context.session.run(self._step.global_step)
        self._writer.add_summary(run_values.results, step)
        self._writer.flush()
        self._due = time.monotonic() + self._seconds

    def end(self, unused_session):
        """Closes the file."""
        self._writer.close()
