"""Searches a learning rate, and writes what it found: JSON, CSV and a picture."""

from __future__ import annotations

import os

from absl import logging

import common
from core import task as tasks
from core.training import label_weights, rate_chart, rate_finder, trainer
from core.training.rate_curve import RateCurve
from datasets.dataset import Dataset
from deployment import backend as backends
from options.config import Config
from utils.errors import Interrupted, OptionError
from utils.files import check_writable, write_together

NAME = "lr_find"


def main(config: Config) -> RateCurve:
    """Searches; writes `lr_find.json`, `lr_find.csv` and `lr_find.png`, and prints the rate.

    Args:
      config: The options of `lr_find`.

    Raises:
      OptionError: If an option cannot be used with this data or device.
      UserError: If the data or a checkpoint cannot be used, or the picture cannot be drawn.
    """
    logging.set_verbosity(logging.INFO if config.command.debug else logging.WARNING)
    folder = config.lr_find.output_dir
    _check_folder(folder)
    trainer.check_network(config)
    dataset = Dataset.open(config)
    dataset = dataset.with_classes(tasks.resolve(config.task, dataset.classes))
    trainer.check_data(config, dataset)
    check_writable(folder, "--output_dir")
    # Of this folder, which belongs to no run, weights of classes are not read.
    config = config.replace(train=config.train.replace(train_logdir=folder))
    config = label_weights.settle(config, dataset)
    curve = _searched(config, dataset)
    base = os.path.join(folder, NAME)
    write_together(
        {
            base + ".json": curve.to_json(options=config.to_dict()).encode(),
            base + ".csv": curve.to_csv().encode(),
        }
    )
    print(_report(curve, base))
    if config.lr_find.picture:
        rate_chart.draw(curve, config.lr_find, base + ".png")
    return curve


def _check_folder(folder: str):
    """Raises OptionError for the folder of a run, which a search leaves alone."""
    if os.path.exists(os.path.join(folder, common.OPTIONS_FILE)):
        raise OptionError(
            f"--output_dir={folder} is the folder of a run; a search has a folder of its own."
        )


def _searched(config: Config, dataset) -> RateCurve:
    backend = backends.create(config.device)
    try:
        return rate_finder.search(config, dataset, backend)
    except Interrupted as error:
        message = "The search was ended by a signal; nothing was written."
        raise Interrupted(error.signal_number, message) from error
    finally:
        backend.stop()


def _report(curve: RateCurve, base: str) -> str:
    suggestion = curve.suggestion
    ended = f", then {curve.stopped}" if curve.stopped else ""
    rate = "none" if suggestion.rate is None else f"{suggestion.rate:.3g}"
    return (
        f"{len(curve.rates)} learning rates from {curve.rates[0]:.3g} to {curve.rates[-1]:.3g}"
        f"{ended}.\nSuggested learning rate: {rate}. {suggestion.why}\n"
        f"Wrote {base}.json and {base}.csv."
    )
