"""The training step on the batches of a data set, as a graph."""

from __future__ import annotations

import fractions
from typing import Callable

from core import network
from core.training import step as train_step
from core.training import timing
from deployment.backend import Backend
from options.config import Config
from utils.compat import tf


def batches(config: Config, dataset, backend: Backend, first_batch: int) -> tf.data.Dataset:
    """Returns the batches of training from one on, by its number, of this rank."""
    options = config.train
    return dataset.train_batches(
        split=options.train_split,
        batch_size=options.images_per_step,
        pad_color=network.pad_color(config.spec),
        seed=options.seed,
        start_step=first_batch,
        rank=backend.rank,
        ranks=backend.ranks,
        with_names=not backend.runs_loop_on_device(),
    )


def build(
    config: Config,
    dataset,
    backend: Backend,
    first_batch: int = 0,
    learning_rate: Callable | None = None,
) -> train_step.TrainStep:
    """Builds input and training step in the default graph.

    Args:
      config: The network and its training.
      dataset: The opened data set.
      backend: The device.
      first_batch: Number of the first batch.
      learning_rate: Function from the global step to the rate, where it is not the schedule's.
    """
    iterator = tf.data.make_initializable_iterator(batches(config, dataset, backend, first_batch))
    # The session runs these initializers; an NPU's loop needs the iterator made this way.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    timer = timing.create_timer(backend)
    with timer.waiting():
        batch = iterator.get_next()
    step = train_step.build(
        batch["image"],
        batch["label"],
        config,
        classes=dataset.classes,
        backend=backend,
        steps_per_epoch=fractions.Fraction(
            dataset.count(config.train.train_split), config.train.images_per_step * backend.ranks
        ),
        learning_rate=learning_rate,
    )
    return timer.around(step, batch["image"])
