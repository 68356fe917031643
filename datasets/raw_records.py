"""Records of data that nobody converted: made at the start of a process, removed at its end.

`--dataset_dir="FORMAT --flags"` takes what `python -m datasets.convert` takes, in quotes. Its
records lie in a temporary folder, so that order, augmentation and checks are those of converted
data, and damaged files are named before the first step. Each process makes its own.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import tempfile

from absl import flags, logging

import common
from options.conversion import ConvertOptions
from options.data import DataOptions
from utils.errors import OptionError

# --dataset_dir -> the folder of its records in this process.
_FOLDERS = {}


def folder(options: DataOptions) -> str | None:
    """Returns the folder of the records: that of the user, or of what is made of raw data.

    Raises:
      OptionError: If `options.dataset_dir` has flags, but not those of a format.
      UserError: If files are missing or cannot be used.
    """
    command = options.dataset_dir
    if not options.is_raw or os.path.isdir(command):
        return command
    if command not in _FOLDERS:
        _FOLDERS[command] = _convert(command)
    return _FOLDERS[command]


def _convert(command: str) -> str:
    # The converter reads what this module gives.
    from datasets import convert

    values = flags.FlagValues()
    common.define_flags(ConvertOptions, flag_values=values)
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
    values["output_dir"].value = os.path.join(temporary, words[0])
    logging.info("Reading raw data; their records lie in %s until the end.", temporary)
    convert.convert(
        words[0],
        common.from_flags(ConvertOptions, values),
        common.given_flags(values) - {"output_dir"},
    )
    return values["output_dir"].value
