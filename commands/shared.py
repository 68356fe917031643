"""What several verbs take: the flags of the network, of the data and of the device."""

from __future__ import annotations

import os

from commands.command import only, without
from options import saved
from options.augmentation import AugmentationOptions
from options.config import Config
from options.data import InputOptions, RecordsOptions
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils.errors import OptionError

# Which records, and the classes of those that no dataset.json describes.
_CLASSES = ("dataset_dir", "dataset", "num_classes", "ignore_label")
_RESIZING = ("min_resize_value", "max_resize_value", "resize_factor", "keep_aspect_ratio")

DATA_OF_TRAINING = (
    without(RecordsOptions, "num_evaluating_samples"),
    InputOptions,
    AugmentationOptions,
)
# Of commands that make the batches of a training, but never evaluate.
BATCHES_OF_TRAINING = (
    without(RecordsOptions, "num_evaluating_samples"),
    without(InputOptions, "eval_crop_size"),
    AugmentationOptions,
)
DATA_OF_EVALUATION = (without(RecordsOptions, "num_training_samples"), InputOptions)
DATA_OF_PREDICTION = (
    only(RecordsOptions, *_CLASSES),
    without(InputOptions, "augmentation"),
)
DATA_OF_PICTURES = (
    only(RecordsOptions, *_CLASSES),
    only(InputOptions, *_RESIZING, "eval_crop_size"),
)
DATA_OF_EXPORT = (only(RecordsOptions, *_CLASSES), only(InputOptions, *_RESIZING))
DATA_OF_CHECKS = (only(RecordsOptions, *_CLASSES, "on_bad_record", "max_bad_records"),)

# Loss scaling and gradients exist in training only; an export computes in fp32.
DEVICE_OF_EVALUATION = without(DeviceOptions, "loss_scale")
DEVICE_OF_EXPORT = without(DeviceOptions, "loss_scale", "precision_mode")
RANKS_OF_EVALUATION = without(RankOptions, "all_reduce_bucket_mb", "check_weights_steps")
RANKS_OF_CHECKS = without(RankOptions, "check_weights_steps")

# Groups of `--help`.
NETWORK_GROUP = (
    "Network",
    ("model_variant", "output_stride", "atrous_rates", "decoder_output_stride"),
)


def check_checkpoint(config: Config, options):
    """Raises OptionError unless a checkpoint is named whose saved options fit those given.

    Args:
      config: All options.
      options: The record that names the checkpoint.
    """
    folder = options.folders()[0]
    saved.join(config, saved.load(folder), change_network=options.change_network)


def check_postprocessing(options):
    """Raises OptionError for steps after the threshold that are written wrongly."""
    if options.postprocess:
        # It loads SciPy, which takes half a second.
        from core.inference import steps

        steps.parse(options.postprocess)


def check_apart(flag: str, folder: str, other: str, paths):
    """Raises OptionError if the folder of results is one that is read, by any of its paths.

    Args:
      flag: The flag of the results.
      folder: Their folder.
      other: The flag of what is read.
      paths: Its folders.
    """
    if os.path.realpath(folder) in [os.path.realpath(path) for path in paths]:
        raise OptionError(
            f"{flag}={folder} is also {other}: the results would be taken for input later; pass a "
            f"folder of their own, such as {os.path.join(folder, 'results')}."
        )


def check_given(record, *names: str):
    """Raises OptionError for the first option that is not set, but has to be."""
    for name in names:
        if not getattr(record, name):
            raise OptionError(f"--{name} is missing; see --help.")
