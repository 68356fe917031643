"""From `--dataset_dir` to a folder of records and its description.

The flag names a folder of records, or data as they are: a format of datasets.convert with its
flags, in quotes. Those are converted into a temporary folder, which is removed when the process
ends; order, augmentation and checks are those of converted data.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import tempfile

from absl import flags, logging

import common
from datasets import description
from datasets.convert import conversion
from datasets.description import DATASET_FILE, Description
from datasets.known import KNOWN
from datasets.records import shards
from options.config import DEFAULT, Config
from options.conversion import CONVERSION_RECORDS
from options.data import RecordsOptions
from utils import variants
from utils.classes import ClassSet, default_names
from utils.errors import OptionError, UserError


def folder_of(options: RecordsOptions) -> str:
    """Returns the folder of the records, which exists.

    Raises:
      OptionError: If no folder is given.
      UserError: If it does not exist, or a conversion into it was interrupted.
    """
    folder = options.dataset_dir
    if folder is None:
        raise OptionError("--dataset_dir is missing; pass the folder of the TFRecord shards.")
    if options.is_raw and not os.path.isdir(folder):
        return _converted(folder)
    if not os.path.isdir(folder):
        raise UserError(
            f"--dataset_dir={folder} is not a folder; pass the folder of the TFRecord shards, "
            "which python -m datasets.convert writes."
        )
    shards.check_complete(folder)
    return folder


def _converted(command: str) -> str:
    """Converts raw data into a temporary folder, which is removed when the process ends.

    Args:
      command: A format and its flags.

    Returns:
      The folder of the records.

    Raises:
      OptionError: If the command is not a format with its flags.
      UserError: If files are missing or cannot be used.
    """
    values = flags.FlagValues()
    common.define_flags(*CONVERSION_RECORDS, flag_values=values)
    try:
        words = values(["dataset_dir", *shlex.split(command)])[1:]
    except (flags.Error, ValueError) as error:
        raise OptionError(f'--dataset_dir="{command}": {error}.') from error
    if len(words) != 1 or values["output_dir"].present:
        raise OptionError(
            f'--dataset_dir="{command}" must be a format and its flags, without --output_dir, for '
            'example "folders --image_folder=DIR --semantic_segmentation_folder=DIR '
            '--num_classes=4".'
        )
    temporary = tempfile.mkdtemp(prefix="records-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    folder = os.path.join(temporary, words[0])
    logging.info("Converting raw data; their records lie in %s until the end.", temporary)
    config = Config.from_flags(CONVERSION_RECORDS, values)
    conversion.convert(words[0], config.with_values({"output_dir": folder}, DEFAULT))
    return folder


def describe(folder: str, options: RecordsOptions, given: frozenset) -> Description:
    """Returns what is known about the records of a folder; see `Dataset.open`."""
    path = os.path.join(folder, DATASET_FILE)
    if os.path.exists(path):
        described = description.read(path)
        _check_given(options, given, described.classes, path)
        return described
    found = shards.splits(folder)
    if not found:
        raise UserError(
            f"--dataset_dir={folder} holds no records (files like train-00000-of-00004.tfrecord); "
            "write them with python -m datasets.convert."
        )
    return _describe_by_options(folder, options, given, found)


def _check_given(options: RecordsOptions, given: frozenset, classes: ClassSet, path: str):
    stated = {
        "num_classes": (options.num_classes, classes.count),
        "ignore_label": (options.ignore_label, classes.ignore_label),
    }
    for name, (value, found) in stated.items():
        if name in given and value not in (None, found):
            raise OptionError(
                f"--{name}={value} contradicts {path}, which says {found}; leave the flag out, or "
                "convert the data again."
            )
    known = KNOWN.get(options.dataset)
    if "dataset" not in given or known is None or options.dataset == classes.name:
        return
    # Records of a known set have that set's classes, whatever name they were given.
    expected = known.classes.count, known.classes.ignore_label
    if expected != (classes.count, classes.ignore_label):
        raise OptionError(
            f"--dataset={options.dataset} has {expected[0]} classes and ignore label "
            f"{expected[1]}, but {path} says {classes.count} and {classes.ignore_label}; leave the "
            "flag out."
        )


def _describe_by_options(
    folder: str, options: RecordsOptions, given: frozenset, found: tuple
) -> Description:
    """Returns the description of records without a `dataset.json`."""
    if options.num_classes is None and options.ignore_label is None:
        known = variants.lookup(KNOWN, options.dataset, "data set without a dataset.json")
        return Description(known.classes, {split: known.splits.get(split) for split in found})
    if options.num_classes is None or options.ignore_label is None:
        raise OptionError(
            f"{folder} has no {DATASET_FILE}: pass --num_classes and --ignore_label together, or "
            "neither and --dataset."
        )
    name = options.dataset if "dataset" in given else os.path.basename(os.path.abspath(folder))
    classes = ClassSet(
        default_names(options.num_classes), ignore_label=options.ignore_label, name=name
    )
    return Description(classes, dict.fromkeys(found))
