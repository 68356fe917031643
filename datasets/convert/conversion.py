"""Converts the splits that a format finds: reads all files, writes shards, puts them in place."""

from __future__ import annotations

import os

import numpy as np
from absl import logging

from datasets.convert import processes, writing
from datasets.convert.output_folder import OutputFolder
from datasets.convert.plan import Plan, plan
from datasets.description import Description
from datasets.files import bad_items, mask_files
from datasets.files.bad_items import SKIP
from options.config import Config
from options.conversion import ConvertOptions
from utils.errors import UserError


def convert(format_name: str, config: Config):
    """Converts the splits that a format finds.

    Args:
      format_name: A format of datasets/formats.
      config: Has CONVERSION_RECORDS.

    Raises:
      OptionError: If the format is unknown, or options contradict each other or the class table.
      UserError: If a file is missing or cannot be used, or the output folder holds other records.
    """
    options = config.conversion
    planned = plan(format_name, config)
    origin = {"format": format_name, **_absolute(planned.listing.origin)}
    output = OutputFolder(
        options.output_dir, planned.description, origin, _other_options(config, origin)
    )
    with output.temporary() as temporary:
        planned, tally = _write(temporary, planned, options)
        if planned.reads_values:
            _check_binary(tally.pixels, planned.classes.ignore_label)
        merged = output.put_in_place(temporary, planned.description.splits)
    _describe(options.output_dir, merged, tally, list(planned.listing.splits))


def _absolute(origin: dict) -> dict:
    """Returns an origin with absolute paths."""
    paths = ("_folder", "_root", "_list")
    return {
        name: os.path.abspath(value) if name.endswith(paths) else value
        for name, value in origin.items()
    }


def _other_options(config: Config, origin: dict) -> dict:
    """Returns the given options about the content of the records; they go to `dataset.json`."""
    values = config.values()
    names = config.given.intersection(values).difference(ConvertOptions.names(), origin)
    return {name: values[name] for name in sorted(names)}


def _write(folder: str, planned: Plan, options: ConvertOptions) -> tuple:
    """Writes the shards; returns the plan of what was written, and its counts.

    Raises:
      UserError: If files cannot be used and are not to be skipped, or no image of a split can.
    """
    num_shards = options.num_shards or planned.format.num_shards
    skips = options.on_bad_item == SKIP
    shards = writing.shards_of(folder, planned.listing.splits, num_shards)
    workers = options.num_workers or processes.cores()
    tally = writing.write(shards, planned.reader(), workers, find_all=skips)
    if not tally.problems:
        return planned, tally
    texts = [problem.text for problem in tally.problems]
    if not skips:
        raise writing.unusable(texts)
    left = planned.without({problem.image for problem in tally.problems})
    empty = [split for split, samples in left.listing.splits.items() if not samples]
    if empty:
        raise writing.unusable(texts)
    logging.warning("%s", bad_items.summary(sorted(texts), "files"))
    # Written again, since the number of records decides how they are spread over the files.
    return _write(folder, left, options)


def _check_binary(counts: np.ndarray, ignore_label: int):
    """Raises UserError for masks of 0 and 255 where 255 would be ignored, not a class."""
    if mask_files.only_0_and_255(counts, ignore_label):
        raise UserError(
            "nothing was converted: the masks hold only 0 and 255, and 255 is the ignore label, so "
            "that only class 0 would be learned; name the meaning of the values, for example "
            "--mask_values=0:membrane,255:cell."
        )


def _describe(folder: str, written: Description, tally: writing.Tally, converted: list):
    """Shows what was written, and each class's share of the pixels."""
    for change, number in tally.changes.items():
        logging.warning("%d images were converted: %s; see docs/data.md.", number, change)
    classes = written.classes
    images = ", ".join(f"{split}: {written.splits[split]}" for split in converted)
    print(f"{folder}: {classes.name}, {classes.count} classes, images of {images}.")
    if not tally.area:
        return
    shares = tally.pixels / tally.area
    for label, name in enumerate(classes.names):
        never = ", never counted (ignore label)" if label == classes.ignore_label else ""
        print(f"  {label:3d}  {name:20s} {shares[label]:8.3%} of the pixels{never}")
    if classes.ignore_label >= classes.count:
        print(f"  {classes.ignore_label:3d}  {'(ignored)':20s} {shares[classes.ignore_label]:8.3%}")
