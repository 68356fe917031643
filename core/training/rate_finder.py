"""Searches a learning rate: trains a few steps, each at a higher rate, and records the loss.

The weights are thrown away, and no folder of a run is read or written.
"""

from __future__ import annotations

import numpy as np
from absl import logging

from core.training import feeding, loop, rate_curve, startup
from core.training.rate_curve import RateCurve
from deployment.backend import Backend
from options.config import Config
from utils.compat import tf


def search(config: Config, dataset, backend: Backend) -> RateCurve:
    """Trains at rising rates from the initial weights.

    Args:
      config: The options of a training and of the search.
      dataset: The opened data set.
      backend: The device, not started yet.

    Raises:
      UserError: If a checkpoint cannot be used, or training fails.
      Interrupted: After SIGTERM or SIGINT.
    """
    options, training = config.lr_find, config.train
    steps = options.steps(dataset.count(training.train_split), training.images_per_step)
    tried = rate_curve.rates(options.start_lr, options.end_lr, steps)
    # One step in a loop, so that the host sees each loss.
    training = training.replace(training_number_of_steps=steps, iterations_per_loop=1)
    config = config.replace(train=training)
    backend.trains = True
    backend.start()
    with tf.Graph().as_default():
        tf.set_random_seed(training.seed)
        step = feeding.build(config, dataset, backend, learning_rate=lambda made: _at(tried, made))
        logging.info(
            "%d steps of %d images at learning rates from %g to %g.",
            steps,
            training.images_per_step,
            tried[0],
            tried[-1],
        )
        record = _Record(step, options.stop_factor)
        loop.run(
            step,
            options=training,
            backend=backend,
            hooks=[record],
            load=startup.initial_weights(config),
        )
    return RateCurve(tuple(record.rates), tuple(record.losses), record.stopped, options.sma)


def _at(tried, made: tf.Tensor) -> tf.Tensor:
    """Returns the rate after a number of steps; a table is exact where a power is not."""
    table = tf.constant(tried.astype(np.float32))
    return tf.gather(table, tf.minimum(made, len(tried) - 1), name="learning_rate")


class _Record(tf.train.SessionRunHook):
    """Records rate and loss of each step, and ends the training when the loss explodes.

    Attributes:
      rates: The rates so far.
      losses: The losses so far, with weight decay where it is a part of the loss.
      stopped: Why the search ended early, or None.
    """

    def __init__(self, step, factor: float):
        self._step = step
        self._factor = factor
        self.rates, self.losses, self.stopped = [], [], None

    def before_run(self, unused_context):
        """Fetches rate and loss, and whether the gradients are finite."""
        return tf.train.SessionRunArgs(
            [self._step.learning_rate, self._step.total_loss, self._step.bad_step.number]
        )

    def after_run(self, run_context, run_values):
        """Records them."""
        rate, loss, bad_step = run_values.results
        self.rates.append(float(rate))
        self.losses.append(float(loss))
        self.stopped = rate_curve.reason_to_stop(self.losses, self._factor)
        if bad_step and self.stopped is None:
            self.stopped = "the gradients are not finite"
        if self.stopped:
            run_context.request_stop()
