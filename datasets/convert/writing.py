"""Reads samples and writes them to shards, in several processes.

Each process takes whole shards, so that images are not sent between processes.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import time
from typing import NamedTuple

import numpy as np

from datasets.convert import processes
from datasets.files import defects, image_files
from datasets.files.defects import BadFileError
from datasets.files.pairs import Sample
from datasets.records import tfrecord
from utils import log
from utils.compat import tf
from utils.errors import UserError
from utils.imaging import images

# Reading stops at this many bad files, so that one run names most of them.
MOST_PROBLEMS = 20
# Fewer samples than this are not worth a process.
_SAMPLES_PER_PROCESS = 64
_REPORT_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file to write.

    Attributes:
      path: Its path.
      samples: Its samples, in order.
    """

    path: str
    samples: tuple


class Problem(NamedTuple):
    """A sample that cannot be used.

    Attributes:
      image: Path of its image.
      text: What is wrong, with the path of the file.
    """

    image: str
    text: str


@dataclasses.dataclass
class Tally:
    """Counts of a conversion.

    Attributes:
      done: Samples read.
      area: Pixels of all masks.
      pixels: Pixels of each label, int64 [256].
      changes: Description of a change to images -> number of images.
      problems: A `Problem` for each sample that cannot be used.
    """

    done: int = 0
    area: int = 0
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    changes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    problems: list = dataclasses.field(default_factory=list)

    def add(self, other: Tally):
        """Adds other counts."""
        self.done += other.done
        self.area += other.area
        self.pixels += other.pixels
        self.changes.update(other.changes)
        self.problems.extend(other.problems)


def shards_of(folder: str, splits: dict, num_shards: int) -> list:
    """Returns the shards of all splits; the last ones of a split may be empty."""
    found = []
    for split, samples in splits.items():
        paths = tfrecord.shard_paths(folder, split, num_shards)
        per_shard = tfrecord.records_per_shard(len(samples), num_shards)
        for number, path in enumerate(paths):
            part = samples[number * per_shard : (number + 1) * per_shard]
            found.append(Shard(path, tuple(part)))
    return found


def write(shards: list, reader, num_workers: int, *, find_all: bool = False) -> Tally:
    """Writes shards, and shows the progress; the shards lack samples that cannot be used.

    Args:
      shards: The shards.
      reader: From `Plan.reader`.
      num_workers: Processes.
      find_all: Whether to go on after MOST_PROBLEMS samples that cannot be used.
    """
    total = sum(len(shard.samples) for shard in shards)
    filled = sum(bool(shard.samples) for shard in shards)
    workers = min(num_workers, filled, -(-total // _SAMPLES_PER_PROCESS))
    progress = log.Progress(total)
    tally = Tally()
    work = functools.partial(_written, reader=reader)
    parts = (
        processes.serially(shards, work)
        if workers < 2
        else processes.Workers(shards, work, workers)
    )
    try:
        for part in parts:
            tally.add(part)
            progress.update(tally.done)
            if len(tally.problems) >= MOST_PROBLEMS and not find_all:
                break
    finally:
        parts.close()
        progress.close()
    return tally


def unusable(problems: list) -> UserError:
    """Returns the error that names up to MOST_PROBLEMS files."""
    if len(problems) == 1:
        return UserError(f"nothing was converted: {problems[0]}.")
    more = " or more" if len(problems) >= MOST_PROBLEMS else ""
    lines = "".join(f"\n  {problem}" for problem in sorted(problems[:MOST_PROBLEMS]))
    number = min(len(problems), MOST_PROBLEMS)
    return UserError(
        f"nothing was converted: {number}{more} files cannot be used:{lines}\n"
        "--on_bad_item=skip leaves such images out."
    )


def _written(shard: Shard, reader):
    """Writes a shard; regularly yields the counts since the last time."""
    tally, at = Tally(), time.monotonic()
    try:
        # The file exists even if it stays empty.
        with open(shard.path, "wb"):
            pass
        with tf.io.TFRecordWriter(shard.path) as writer:
            for sample in shard.samples:
                content = _read(sample, reader, tally)
                if content is not None:
                    writer.write(content)
                if time.monotonic() - at > _REPORT_SECONDS or tally.problems:
                    yield tally
                    tally, at = Tally(), time.monotonic()
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{shard.path} cannot be written: {error}.") from error
    yield tally


def _read(sample: Sample, reader, tally: Tally) -> bytes | None:
    """Returns the serialized record of a sample; None where its files cannot be used."""
    tally.done += 1
    try:
        image, label, pixels = read_sample(sample, reader)
    except BadFileError as problem:
        tally.problems.append(Problem(sample.image, str(problem)))
        return None
    tally.pixels += pixels
    tally.area += image.height * image.width if label else 0
    if image.change:
        tally.changes[image.change] += 1
    return tfrecord.serialize(record_of(sample, image, label))


def read_sample(sample: Sample, reader) -> tuple:
    """Reads and checks the files of a sample.

    Args:
      sample: The sample.
      reader: From `Plan.reader`.

    Returns:
      The `images.ImageFile`; the mask as the PNG file of a record, empty if there is none; the
      number of pixels of each label, int64 [256].

    Raises:
      BadFileError: If a file cannot be used.
    """
    image = image_files.read_image(sample.image)
    if sample.mask is None:
        return image, b"", np.zeros(256, np.int64)
    label, size, pixels = reader.read(sample.mask)
    _check_size(sample, image, size)
    return image, label, pixels


def record_of(sample: Sample, image: images.ImageFile, label: bytes):
    """Returns the record of a sample's files."""
    return tfrecord.Record(
        sample.name, image.content, image.format, image.height, image.width, label
    )


def _check_size(sample: Sample, image: images.ImageFile, size: tuple):
    if size == (image.height, image.width):
        return
    hint = ""
    if image.change and size == (image.width, image.height):
        hint = "; the mask was drawn on the image without its EXIF orientation: save both rotated"
    mask = sample.mask if isinstance(sample.mask, str) else sample.mask.name
    raise BadFileError(
        f"{sample.image} is {image.height}x{image.width} (height x width), but its mask "
        f"{mask} is {size[0]}x{size[1]}{hint}",
        defects.SIZES,
    )
