r"""Converts images and masks to TFRecords: `python -m datasets.convert FORMAT --flags`.

  python -m datasets.convert voc_aug --voc_root=VOCtrainval_11-May-2012.tar \
      --aug_folder=SegmentationClassAug.zip --trainaug_list=trainaug.txt --output_dir=tfrecord

  python -m datasets.convert folders --image_folder=CamVid --semantic_segmentation_folder=CamVid \
      --list_folder=CamVid --class_table=datasets/tables/camvid.json --output_dir=camvid

FORMAT is a module of datasets/formats; docs/data.md has a command for each. Beside the records a
`dataset.json` says what they are. All files are checked before one is put in place; a conversion
that fails or is interrupted leaves the output folder as it was. Converting another split later adds
it.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import logging

import common
from datasets import class_table, conversion, formats, output_folder, processes
from datasets.class_table import ClassTable
from datasets.description import Description
from datasets.files import mask_files
from options.conversion import ConvertOptions
from utils import variants
from utils.classes import ClassSet, default_names
from utils.errors import OptionError, UserError

# What every format takes.
_COMMON_FLAGS = frozenset(
    {
        *("output_dir", "splits", "dataset_name", "num_shards", "num_workers"),
        *("image_format", "label_format"),
    }
)


def main(flag_values, format_name: str):
    """Reads the flags and converts."""
    options = common.from_flags(ConvertOptions, flag_values)
    convert(format_name, options, common.given_flags(flag_values))


def convert(format_name: str, options: ConvertOptions, given: frozenset = frozenset()):
    """Converts the splits that a format finds.

    Args:
      format_name: A format of datasets/formats.
      options: Where to read and write.
      given: Names of the options that were given on purpose.

    Raises:
      OptionError: If the format is unknown, or options contradict each other or the class table.
      UserError: If a file is missing or cannot be used, or the output folder holds other records.
    """
    planned = plan(format_name, options, given)
    found = planned.found
    origin = {"format": format_name, **_absolute(found.origin)}
    output = output_folder.OutputFolder(
        options.output_dir, planned.description, origin, _other_options(options, given, origin)
    )
    with output.temporary() as temporary:
        tally = _write(temporary, planned, options)
        if planned.classes.mask_values is None:
            _check_binary(tally.pixels, planned.classes.ignore_label)
        merged = output.put_in_place(temporary)
    _describe(options.output_dir, merged, tally, list(found.splits))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be converted.

    Attributes:
      source: The format.
      found: Its samples.
      classes: The classes, and what masks hold.
      has_colors: Whether their colours are those of RGB masks.
    """

    source: formats.Source
    found: formats.Found
    classes: ClassSet
    has_colors: bool

    @property
    def description(self) -> Description:
        """What the records will be."""
        splits = {split: len(samples) for split, samples in self.found.splits.items()}
        return Description(self.classes, splits)

    def reader(self) -> mask_files.MaskReader:
        """Returns what reads the masks."""
        return mask_files.MaskReader(self.classes, by_color=self.has_colors)


def plan(format_name: str, options: ConvertOptions, given: frozenset = frozenset()) -> Plan:
    """Returns what `convert` would convert; reads no images.

    Raises:
      OptionError: If the format is unknown, or options contradict each other or the class table.
      UserError: If a file is missing.
    """
    source = variants.lookup(variants.collect(formats), format_name, "format")
    _check_flags(format_name, source, given)
    found = source.find(options, given)
    table = _class_table(options, found.classes)
    classes = dataclasses.replace(
        table.classes,
        name=options.dataset_name or table.classes.name,
        ignore_label=_ignore_label(options, table),
    )
    return Plan(source, found, classes, table.has_colors)


def _check_flags(format_name: str, source: formats.Source, given: frozenset):
    """Refuses flags that another format takes."""
    own = {field.name for field in dataclasses.fields(ConvertOptions)}
    useless = (given & own) - _COMMON_FLAGS - set(source.flags)
    if useless:
        raise OptionError(
            f"--{sorted(useless)[0]} has no effect on the format {format_name}, which takes "
            f"{', '.join(f'--{name}' for name in source.flags)}."
        )


def _class_table(options: ConvertOptions, default: ClassSet | None) -> ClassTable:
    """Returns the classes of the user's table or mask values, else of the format, else numbered."""
    table = _stated_classes(options, default)
    if not options.reduce_zero_label:
        return table
    classes = table.classes
    if classes.mask_values is not None:
        raise OptionError("--reduce_zero_label and values of classes say the same; leave one out.")
    reduced = dataclasses.replace(
        classes, mask_values=tuple(range(1, classes.count + 1)), ignored_values=(0,)
    )
    return table._replace(classes=reduced)


def _stated_classes(options: ConvertOptions, default: ClassSet | None) -> ClassTable:
    number, name = options.num_classes, _name(options)
    table = None
    if options.mask_values and options.class_table:
        raise OptionError("--mask_values and --class_table both name classes; leave one out.")
    if options.mask_values:
        table = class_table.from_mask_values(options.mask_values, name)
    elif options.class_table:
        table = class_table.load(options.class_table)
    if table is not None:
        _check_number(options, table.classes.count)
        return table
    if default is not None and number in (None, default.count):
        return ClassTable(default, has_colors=True, has_ignore_label=True)
    if number is None:
        raise OptionError(
            "the classes are unknown: pass --num_classes, --class_table, or --mask_values."
        )
    return ClassTable(ClassSet(default_names(number), name=name))


def _check_number(options: ConvertOptions, found: int):
    """Refuses a --num_classes that contradicts the classes that other flags name."""
    if options.num_classes in (None, found):
        return
    flag = "class_table" if options.class_table else "mask_values"
    value = options.class_table or ",".join(options.mask_values)
    raise OptionError(
        f"--num_classes={options.num_classes} contradicts --{flag}={value}, which has {found} "
        "classes; leave the flag out."
    )


def _name(options: ConvertOptions) -> str:
    return os.path.basename(os.path.abspath(options.output_dir))


def _ignore_label(options: ConvertOptions, table: ClassTable) -> int:
    wanted, stated = options.ignore_label, table.classes.ignore_label
    if options.class_table and table.has_ignore_label and wanted not in (None, stated):
        raise OptionError(
            f"--ignore_label={wanted} contradicts --class_table={options.class_table}, which says "
            f"{stated}; leave the flag out."
        )
    return stated if wanted is None else wanted


def _absolute(origin: dict) -> dict:
    """Returns it with paths that hold wherever a command is started."""
    paths = ("_folder", "_root", "_list")
    return {
        name: os.path.abspath(value) if name.endswith(paths) else value
        for name, value in origin.items()
    }


def _other_options(options: ConvertOptions, given: frozenset, origin: dict) -> dict:
    """Returns the given flags that say how it was converted; they go to `dataset.json` too."""
    values = options.to_dict()
    return {
        name: values[name] for name in sorted(given & set(values) - _COMMON_FLAGS - set(origin))
    }


def _write(folder: str, planned: Plan, options: ConvertOptions) -> conversion.Tally:
    num_shards = options.num_shards or planned.source.num_shards
    shards = conversion.shards_of(folder, planned.found.splits, num_shards)
    return conversion.write(shards, planned.reader(), options.num_workers or processes.cores())


def _check_binary(counts: np.ndarray, ignore_label: int):
    """Refuses masks of 0 and 255 where 255 would count as ignored, not as a class."""
    if mask_files.only_0_and_255(counts, ignore_label):
        raise UserError(
            "nothing was converted: the masks hold only 0 and 255, and 255 is the ignore label, so "
            "that no class but 0 would be learned; say what the values mean, for example "
            "--mask_values=0:membrane,255:cell."
        )


def _describe(folder: str, written: Description, tally: conversion.Tally, converted: list):
    """Shows what was written, and how the pixels are spread over the classes."""
    for change, number in tally.changes.items():
        logging.warning("%d images were converted: %s; see docs/data.md.", number, change)
    classes = written.classes
    images = ", ".join(f"{split}: {written.splits[split]}" for split in converted)
    print(f"{folder}: {classes.name}, {classes.count} classes, images of {images}.")
    labelled = tally.pixels.sum()
    if not labelled:
        return
    shares = tally.pixels / labelled
    for label, name in enumerate(classes.names):
        print(f"  {label:3d}  {name:20s} {shares[label]:8.3%} of the pixels")
    if classes.ignore_label >= classes.count:
        print(f"  {classes.ignore_label:3d}  {'(ignored)':20s} {shares[classes.ignore_label]:8.3%}")


if __name__ == "__main__":
    common.run(main, ConvertOptions, positional=("FORMAT",))
