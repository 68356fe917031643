"""Counts of an audit: per image what comparisons need, per split the sums."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from datasets.audit import near_duplicates, readers
from datasets.class_weights import ClassCounts
from datasets.convert import processes
from datasets.files import defects
from datasets.files.defects import Defect
from datasets.records import labels
from utils import log

# Few enough for smooth progress, enough that sending costs nothing.
_SAMPLES_PER_TASK = 16
_FEWEST_PER_PROCESS = 64


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of a split.

    Attributes:
      split: Its split.
      number: Its place in it.
      name: Its name; empty if it cannot be read.
      size: Height and width; None if it cannot be read.
      values: The labels in it, sorted uint8; None if there is no label to count.
      pixels: Pixels of each of them, int64.
      counted: Pixels that count: those that are not ignored.
      area: All pixels of its label.
      together: Pixels of each pair of classes; None where a pixel has one class.
      fingerprint: Of its decoded pixels: equal pixels, equal fingerprints; None if unreadable.
      difference_hash: 64 bits, see `near_duplicates`; None if unreadable.
      blank: Whether all of its pixels have one colour.
      change: Description of what a conversion changes.
      defect: Its defect, or None.
    """

    split: str
    number: int
    name: str = ""
    size: tuple | None = None
    values: np.ndarray | None = None
    pixels: np.ndarray | None = None
    counted: int = 0
    area: int = 0
    together: np.ndarray | None = None
    fingerprint: bytes | None = None
    difference_hash: int | None = None
    blank: bool = False
    change: str = ""
    defect: Defect | None = None

    def is_only(self, value: int) -> bool:
        """Returns whether all pixels of its label have one value."""
        return self.values is not None and self.share(value) == 1.0

    def share(self, value: int) -> float:
        """Returns the share of its pixels that have a value."""
        if self.values is None or not self.area:
            return 0.0
        return float(self.pixels[self.values == value].sum() / self.area)


@dataclasses.dataclass(frozen=True)
class BadChecksum:
    """The first record of a file whose checksum is wrong."""

    split: str
    path: str
    record: int


@dataclasses.dataclass
class Split(ClassCounts):
    """Sums over a split.

    Attributes:
      images: The number of images.
      labelled: Those with a label that was counted.
      area: Pixels of all labels.
      counted: Pixels that count: those that are not ignored.
      together: Pixels of each pair of classes, int64 [classes, classes]; None where a pixel has one
        class.
      sizes: (height, width) -> number of images.
    """

    images: int = 0
    labelled: int = 0
    area: int = 0
    counted: int = 0
    together: np.ndarray | None = None
    sizes: dict = dataclasses.field(default_factory=dict)

    def add(self, item: Item):
        """Adds an image."""
        self.images += 1
        if item.size:
            self.sizes[item.size] = self.sizes.get(item.size, 0) + 1
        if item.values is None:
            return
        self.labelled += 1
        self.add_label(item.values, item.pixels, item.counted)
        self.area += item.area
        self.counted += item.counted
        if item.together is not None:
            self.together = item.together + (0 if self.together is None else self.together)


@dataclasses.dataclass
class Counts:
    """All counts: items in order, sums by split, files with wrong checksums."""

    items: list
    splits: dict
    bad_checksums: list


def count(data, num_workers: int | None) -> Counts:
    """Inspects every image of `readers.Records` or `Files`, and shows its progress."""
    tasks = _tasks(data)
    total = sum(data.sizes.values())
    workers = min(num_workers or processes.cores(), -(-total // _FEWEST_PER_PROCESS))

    def work(task):
        return _work(data, *task)

    parts = (
        processes.serially(tasks, work) if workers < 2 else processes.Workers(tasks, work, workers)
    )
    items, bad = [], []
    progress = log.Progress(total)
    try:
        for part in parts:
            (bad if isinstance(part, BadChecksum) else items).append(part)
            progress.update(len(items))
    finally:
        parts.close()
        progress.close()
    order = {split: place for place, split in enumerate(data.sizes)}
    items.sort(key=lambda item: (order[item.split], item.number))
    return Counts(items, _sums(items, data), sorted(bad, key=lambda found: found.path))


def _sums(items: list, data) -> dict:
    splits = {split: Split() for split in data.sizes}
    for item in items:
        splits[item.split].add(item)
    return splits


def _tasks(data) -> list:
    """Returns (split, path, None) of files with checksums, (split, first, last + 1) of images."""
    tasks = [(split, path, None) for split, path in data.files()]
    for split, number in data.sizes.items():
        for first in range(0, number, _SAMPLES_PER_TASK):
            tasks.append((split, first, min(first + _SAMPLES_PER_TASK, number)))
    return tasks


def _work(data, split: str, first, end):
    if end is None:
        record = readers.wrong_checksum(first)
        if record is not None:
            yield BadChecksum(split, first, record)
        return
    for number in range(first, end):
        yield _item(data, split, number)


def _item(data, split: str, number: int) -> Item:
    seen = data.read(split, number)
    image = seen.inspection.image
    return Item(
        split=split,
        number=number,
        name=seen.inspection.name,
        size=None if image is None else (image.height, image.width),
        change=seen.change,
        defect=seen.inspection.defect,
        **_of_label(data, seen.inspection),
        **({} if image is None else _of_image(image.convert("RGB"))),
    )


def _of_image(image) -> dict:
    """Returns what an RGB image is compared by."""
    return {
        "fingerprint": _fingerprint(image),
        "difference_hash": near_duplicates.difference_hash(image),
        "blank": all(low == high for low, high in image.getextrema()),
    }


def _of_label(data, inspection) -> dict:
    """Returns the counts of a label; none where it cannot be counted."""
    defect = inspection.defect
    if inspection.label is None or (defect and defect.kind != defects.LABELS):
        return {}
    values, stored = np.asarray(inspection.label), labels.of(data.classes)
    pixels, counted = stored.count(values)
    found = np.flatnonzero(pixels).astype(np.uint8)
    return {
        "values": found,
        "pixels": pixels[found],
        "counted": counted,
        "area": values.size,
        "together": stored.together(values),
    }


def _fingerprint(image) -> bytes:
    """Returns a digest of the size and the colours, whatever the file's format."""
    digest = hashlib.blake2b(f"{image.width},{image.height};".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()
