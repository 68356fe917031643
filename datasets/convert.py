r"""Converts images and masks to TFRecords: `python -m datasets.convert FORMAT --flags`.

  python -m datasets.convert pascal_voc --image_folder=VOC2012/JPEGImages \
      --semantic_segmentation_folder=VOC2012/SegmentationClass \
      --list_folder=VOC2012/ImageSets/Segmentation --output_dir=tfrecord

  python -m datasets.convert folders --image_folder=CamVid --semantic_segmentation_folder=CamVid \
      --list_folder=CamVid --class_table=datasets/tables/camvid.json --output_dir=camvid

FORMAT is a module of datasets/sources. Beside the records a `dataset.json` says what they are. All
files are checked before one is put in place; a conversion that fails or is interrupted leaves the
output folder as it was. Converting another split later adds it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import os

import numpy as np

import common
from datasets import class_table, image_files, mask_files, output_folder, sources, tfrecord
from datasets.info import DatasetInfo, default_names
from datasets.options import ConvertOptions
from utils import log, variants
from utils.errors import OptionError, UserError

_DEFAULT_IGNORE_LABEL = 255
# Reading goes on until this many files are bad, so that one run shows most of them.
_MOST_PROBLEMS = 20
# Samples that are read before their turn.
_READ_AHEAD = 16


def main(flag_values, format_name: str):
    """Reads the flags and converts."""
    options = common.from_flags(ConvertOptions, flag_values)
    convert(format_name, options, common.given_flags(flag_values))


def convert(format_name: str, options: ConvertOptions, given: frozenset = frozenset()):
    """Converts the splits that a format finds.

    Args:
      format_name: A format of datasets/sources.
      options: Where to read and write.
      given: Names of the options that were given on purpose.

    Raises:
      OptionError: If the format is unknown, or options contradict each other or the class table.
      UserError: If a file is missing or cannot be used, or the output folder holds other records.
    """
    source = variants.lookup(variants.collect(sources), format_name, "format")
    classes = _class_table(options, source.classes)
    ignore_label = _ignore_label(options, classes)
    splits = source.find(options, given)
    info = DatasetInfo(
        name=options.dataset_name or classes.name,
        num_classes=len(classes.names),
        class_names=classes.names,
        colors=classes.colors_or_default(),
        ignore_label=ignore_label,
        splits={split: len(samples) for split, samples in splits.items()},
    )
    origin = _origin(format_name, options, given)
    output = output_folder.OutputFolder(options.output_dir, info, origin)
    reader = mask_files.MaskReader(classes, ignore_label)
    with output.temporary() as temporary:
        counts = _write_splits(temporary, splits, reader, options)
        _check_binary(counts, ignore_label)
        merged = output.put_in_place(temporary)
    _describe(options.output_dir, merged, counts, list(splits))


def _class_table(options: ConvertOptions, default) -> class_table.ClassTable:
    """Returns the classes: of the user's table, else of the format, else by their number."""
    number = options.num_classes
    table = class_table.load(options.class_table) if options.class_table else default
    if table is None and number is None:
        raise OptionError("pass --class_table, or --num_classes: the format does not say.")
    if number is None or (table is not None and len(table.names) == number):
        return table
    if options.class_table:
        raise OptionError(
            f"--num_classes={number} contradicts --class_table={options.class_table}, which has "
            f"{len(table.names)} classes; leave the flag out."
        )
    name = os.path.basename(os.path.abspath(options.output_dir))
    return class_table.ClassTable(name, default_names(number))


def _ignore_label(options: ConvertOptions, classes: class_table.ClassTable) -> int:
    wanted, stated = options.ignore_label, classes.ignore_label
    if options.class_table and None not in (wanted, stated) and wanted != stated:
        raise OptionError(
            f"--ignore_label={wanted} contradicts --class_table={options.class_table}, which says "
            f"{stated}; leave the flag out."
        )
    if wanted is not None:
        return wanted
    return _DEFAULT_IGNORE_LABEL if stated is None else stated


def _origin(format_name: str, options: ConvertOptions, given: frozenset) -> dict:
    """Returns what tells a conversion from another one."""
    names = ["image_folder", "semantic_segmentation_folder"]
    if format_name != "folders" or "list_folder" in given:
        names.append("list_folder")
    folders = {name: os.path.abspath(getattr(options, name)) for name in names}
    return {"format": format_name, **folders}


def _write_splits(folder: str, splits: dict, reader, options: ConvertOptions) -> np.ndarray:
    """Writes the shards of all splits to a folder.

    Returns:
      The number of pixels of each mask value, int64 [256].
    """
    counts = np.zeros(256, np.int64)
    problems = []
    progress = log.Progress(sum(len(samples) for samples in splits.values()))
    done = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(options.num_workers) as pool:
            for split, samples in splits.items():
                futures = _submitted(pool, functools.partial(_read, reader), samples)
                with tfrecord.ShardWriter(folder, split, len(samples), options.num_shards) as out:
                    for future in futures:
                        counts += _write(future, out, problems)
                        done += 1
                        progress.update(done)
    finally:
        progress.close()
    if problems:
        raise _unusable(problems)
    return counts


def _write(future, out: tfrecord.ShardWriter, problems: list):
    """Writes the record of a sample that was read; returns its pixels of each mask value."""
    try:
        record, counts = future.result()
    except image_files.BadFileError as problem:
        problems.append(str(problem))
        if len(problems) == _MOST_PROBLEMS:
            raise _unusable(problems) from None
        return 0
    out.write(tfrecord.serialize(record))
    return counts


def _submitted(pool, function, items):
    """Yields the future of each item in order, with some of the next ones under way."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        # Bounds the memory: what is read ahead is kept until it is written.
        if len(waiting) > _READ_AHEAD:
            yield waiting.popleft()
    yield from waiting


def _read(reader: mask_files.MaskReader, sample: sources.Sample) -> tuple:
    """Returns the record of a sample and the number of pixels of each mask value."""
    image = image_files.read_image(sample.image)
    label, counts = b"", np.zeros(256, np.int64)
    if sample.mask is not None:
        label, size, counts = reader.read(sample.mask)
        if size != (image.height, image.width):
            raise image_files.BadFileError(
                f"{sample.image} is {image.height}x{image.width} (height x width), but its mask "
                f"{sample.mask} is {size[0]}x{size[1]}"
            )
    record = tfrecord.Record(
        sample.name, image.content, image.format, image.height, image.width, label
    )
    return record, counts


def _unusable(problems: list) -> UserError:
    if len(problems) == 1:
        return UserError(f"nothing was converted: {problems[0]}.")
    more = " or more" if len(problems) == _MOST_PROBLEMS else ""
    lines = "".join(f"\n  {problem}" for problem in problems)
    return UserError(f"nothing was converted: {len(problems)}{more} files cannot be used:{lines}")


def _check_binary(counts: np.ndarray, ignore_label: int):
    """Refuses masks of 0 and 255 where 255 would count as ignored, not as a class."""
    if ignore_label == 255 and counts[255] and not counts[1:255].any():
        raise UserError(
            "nothing was converted: the masks hold only 0 and 255, and 255 is the ignore label, so "
            "that no class but 0 would be learned; save class numbers (0, 1) in the masks, or pass "
            "another --ignore_label."
        )


def _describe(folder: str, info: DatasetInfo, counts: np.ndarray, converted: list):
    """Shows what was written, and how the pixels are spread over the classes."""
    images = ", ".join(f"{split}: {info.splits[split]}" for split in converted)
    print(f"{folder}: {info.name}, {info.num_classes} classes, images of {images}.")
    labelled = counts.sum()
    if not labelled:
        return
    shares = counts / labelled
    for label, name in enumerate(info.class_names):
        print(f"  {label:3d}  {name:20s} {shares[label]:8.3%} of the pixels")
    if info.ignore_label >= info.num_classes:
        print(f"  {info.ignore_label:3d}  {'(ignored)':20s} {shares[info.ignore_label]:8.3%}")


if __name__ == "__main__":
    common.run(main, ConvertOptions, positional=("FORMAT",))
