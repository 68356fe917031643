"""Pictures of the batch in TensorBoard."""

from __future__ import annotations

import time

import numpy as np

from core import layers
from core.architectures import MERGED
from core.training.step import TrainStep
from utils.compat import tf


class LogImages(tf.train.SessionRunHook):
    """Shows a batch in TensorBoard every so many seconds: images, labels, predictions."""

    def __init__(self, folder: str, step: TrainStep, seconds: int, *, colors, ignore_label: int):
        """Makes the hook.

        Args:
          folder: Where event files go.
          step: The training step.
          seconds: Time between two batches.
          colors: (red, green, blue), 0..255, of each class.
          ignore_label: Label shown in white.
        """
        self._folder = folder
        self._step = step
        self._seconds = seconds
        self._colors = colors
        self._ignore_label = ignore_label
        self._due = 0.0

    def begin(self):
        """Builds the pictures; called before the graph is finalized."""
        labels = self._step.labels
        predictions = tf.argmax(self._step.logits[MERGED], 3, output_type=tf.int32)
        predictions = layers.resize_nearest(predictions[..., None], layers.spatial_size(labels))
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
        palette = np.full([256, 3], 255, np.uint8)
        palette[: len(self._colors)] = self._colors
        palette[self._ignore_label] = 255
        return tf.gather(tf.constant(palette), labels[..., 0])

    def before_run(self, unused_context):
        """Asks for the pictures of the batch that is being trained on, if they are due."""
        return tf.train.SessionRunArgs(self._summary) if time.time() >= self._due else None

    def after_run(self, run_context, run_values):
        """Writes the pictures."""
        if run_values.results is None:
            return
        step = run_context.session.run(self._step.global_step)
        self._writer.add_summary(run_values.results, step)
        self._writer.flush()
        self._due = time.time() + self._seconds

    def end(self, unused_session):
        """Closes the file."""
        self._writer.close()
