"""Computes batch norm's moving averages anew, and writes another checkpoint with them."""

from __future__ import annotations

import os
import re
import shutil

from absl import logging

import common
from core import layers, network
from core import task as tasks
from core.checkpoints import files, restore
from core.evaluation import select
from core.training import freezing, recalibration
from datasets.dataset import Dataset
from deployment import backend as backends
from options import saved as saved_options
from options.config import SAVED, Config
from options.recalibration import NOTHING, RecalibrationOptions
from utils.errors import OptionError

# What the batches of a run, and its frozen parts, depend on.
_OF_THE_RUN = ("train_split", "train_batch_size", "seed")
_OF_FREEZING = ("freeze", "frozen_batch_norm", "unfreeze_step")


def main(config: Config):
    """Writes the new checkpoint, with the run's options beside it, and prints what changed.

    Args:
      config: The options of `recalibrate_bn`; what was not given is taken from the run.

    Raises:
      OptionError: If an option cannot be used with this checkpoint or data.
      UserError: If the checkpoint or the data cannot be used.
    """
    logging.set_verbosity(logging.INFO if config.command.debug else logging.WARNING)
    options = config.recalibration
    path = _checkpoint(options)
    _check_output(options.output)
    saved = saved_options.load(os.path.dirname(path) or ".")
    config = _joined(config, saved)
    network.check(config.spec, crop_size=config.input.train_crop_size)
    keep = _kept(config, saved, restore.step_of(path))
    dataset = Dataset.open(config)
    dataset = dataset.with_classes(tasks.resolve(config.task, dataset.classes))
    split = config.train.train_split
    images = dataset.count(split)
    config.check_count("num_training_samples", config.data.num_training_samples, images)
    backend = backends.create(config.device)
    try:
        backend.start()
        result = recalibration.recalibrate(
            path,
            config,
            dataset,
            backend,
            keep=keep,
            batches=options.num_batches or -(-images // config.train.train_batch_size),
            averaged=options.use_ema,
        )
    finally:
        backend.stop()
    size = files.write_arrays(dict(sorted(result.tensors.items())), options.output)
    _copy_options(os.path.dirname(path), os.path.dirname(options.output))
    print(f"{path}: {result.report()}\nWrote {options.output}, {size / 1e6:.1f} MB.")


def _checkpoint(options: RecalibrationOptions) -> str:
    """Returns the prefix of the checkpoint that was named."""
    (path,) = options.checkpoint_path or select.chosen(options.folders()[0], options.checkpoint)
    return path


def _check_output(output: str):
    """Raises OptionError if a checkpoint would be replaced, or get among those of a run."""
    if restore.files_of(output):
        raise OptionError(f"--output={output} exists; choose another prefix.")
    folder, name = os.path.split(output)
    is_of_a_run = re.fullmatch(re.escape(restore.PREFIX) + r"(-\d+)?", name)
    if is_of_a_run and os.path.exists(os.path.join(folder, common.OPTIONS_FILE)):
        raise OptionError(
            f"--output={output} would be taken for a checkpoint of the run in its folder; choose "
            "another folder, or another name."
        )


def _joined(config: Config, saved) -> Config:
    """Returns the config with the options of the run that were not given."""
    changed = config.recalibration.change_network
    config = saved_options.join(config, saved, change_network=changed)
    stored = saved.values("train")
    values = {
        name: stored[name] for name in _OF_THE_RUN if name in stored and name not in config.given
    }
    return config.with_values(values, SAVED + saved.path)


def _kept(config: Config, saved, step: int | None) -> tuple:
    """Returns the patterns of the parts whose statistics stay."""
    keep = config.recalibration.keep
    if keep is not None:
        return () if NOTHING in keep else tuple(keep)
    stored = saved.values("train")
    options = config.train.replace(
        **{name: stored[name] for name in _OF_FREEZING if name in stored}
    )
    options = freezing.at_step(options, step or 0)
    return () if options.frozen_batch_norm == layers.FROZEN_STATISTICS else options.freeze or ()


def _copy_options(source: str, target: str):
    """Copies the run's options beside the new checkpoint, which needs them."""
    path = os.path.join(source, common.OPTIONS_FILE)
    beside = os.path.join(target, common.OPTIONS_FILE)
    if os.path.exists(path) and not os.path.exists(beside):
        shutil.copy(path, beside)
