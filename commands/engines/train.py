"""Opens data set and device, and trains."""

from __future__ import annotations

from absl import logging

from core import task as tasks
from core.training import label_weights, trainer
from datasets.dataset import Dataset
from deployment import backend as backends
from options.config import Config


def main(config: Config, *, extra_hooks=()):
    """Trains until `training_number_of_steps`, from the newest checkpoint of the folder if any.

    Args:
      config: The options of `train`.
      extra_hooks: Session hooks of the caller, called last.

    Raises:
      OptionError: If an option cannot be used with this data or device.
      UserError: If the data, a checkpoint or the folder cannot be used.
    """
    logging.set_verbosity(logging.INFO if config.command.debug else logging.WARNING)
    trainer.check_network(config)
    dataset = Dataset.open(config)
    dataset = dataset.with_classes(tasks.resolve(config.task, dataset.classes))
    trainer.check_data(config, dataset)
    config = label_weights.settle(config, dataset)
    backend = backends.create(config.device, config.ranks)
    try:
        trainer.train(config, dataset, backend, extra_hooks=extra_hooks)
    finally:
        backend.stop()
