"""What an audit counts: of each image what comparisons need, of each split the sums."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from datasets.audit import near_duplicates, readers
from datasets.convert import processes
from datasets.files.defects import Defect
from utils import log

# So few that progress is smooth, so many that sending costs nothing.
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
      values: The values of its label, sorted uint8; None if there is no label that can be counted.
      pixels: Pixels of each of them, int64.
      fingerprint: Of its decoded pixels: equal pixels, equal fingerprints; None if unreadable.
      look: 64 bits of how it looks, see `near_duplicates`; None if unreadable.
      blank: Whether all of its pixels have one colour.
      change: What a conversion changes, in words.
      defect: What is wrong with it, or None.
    """

    split: str
    number: int
    name: str = ""
    size: tuple | None = None
    values: np.ndarray | None = None
    pixels: np.ndarray | None = None
    fingerprint: bytes | None = None
    look: int | None = None
    blank: bool = False
    change: str = ""
    defect: Defect | None = None

    def is_one_value(self) -> bool:
        """Returns whether all pixels of its label have the same value."""
        return self.values is not None and len(self.values) == 1

    def share(self, value: int) -> float:
        """Returns the share of its pixels that have a value."""
        if self.values is None or not self.pixels.sum():
            return 0.0
        return float(self.pixels[self.values == value].sum() / self.pixels.sum())


@dataclasses.dataclass(frozen=True)
class BadChecksum:
    """The first record of a file whose checksum is wrong."""

    split: str
    path: str
    record: int


@dataclasses.dataclass
class Split:
    """Sums over a split.

    Attributes:
      images: Images that were looked at.
      labelled: Of them with a label that was counted.
      pixels: Pixels of each value, int64 [256].
      images_with: Images that show each value, int64 [256].
      pixels_of_images: Counted (not ignored) pixels of those images, int64 [256].
      sizes: (height, width) -> number of images.
    """

    images: int = 0
    labelled: int = 0
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    images_with: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    pixels_of_images: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(256, np.int64)
    )
    sizes: dict = dataclasses.field(default_factory=dict)

    def add(self, item: Item, ignore_label: int):
        """Adds an image."""
        self.images += 1
        if item.size:
            self.sizes[item.size] = self.sizes.get(item.size, 0) + 1
        if item.values is None:
            return
        self.labelled += 1
        self.pixels[item.values] += item.pixels
        self.images_with[item.values] += 1
        self.pixels_of_images[item.values] += item.pixels[item.values != ignore_label].sum()


@dataclasses.dataclass
class Counts:
    """Everything that was counted: items in order, sums by split, files with wrong checksums."""

    items: list
    splits: dict
    bad_checksums: list


def count(data, num_workers: int | None) -> Counts:
    """Looks at every image of `readers.Records` or `Files`, and shows how far it is."""
    tasks = _tasks(data)
    total = sum(data.sizes.values())
    workers = min(num_workers or processes.cores(), -(-total // _FEWEST_PER_PROCESS))

    def work(task):
        return _work(data, *task)

    parts = (
        processes.in_turn(tasks, work) if workers < 2 else processes.Workers(tasks, work, workers)
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
        splits[item.split].add(item, data.classes.ignore_label)
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
    seen = data.see(split, number)
    look, values, pixels, fingerprint, bits, blank = seen.look, None, None, None, None, False
    counted = readers.pixels_of(look)
    if counted is not None:
        values = np.flatnonzero(counted).astype(np.uint8)
        pixels = counted[values]
    if look.image is not None:
        colors = look.image.convert("RGB")
        fingerprint = _fingerprint(colors)
        bits = near_duplicates.look_hash(colors)
        blank = all(low == high for low, high in colors.getextrema())
    return Item(
        split=split,
        number=number,
        name=look.name,
        size=(look.image.height, look.image.width) if look.image is not None else None,
        values=values,
        pixels=pixels,
        fingerprint=fingerprint,
        look=bits,
        blank=blank,
        change=seen.change,
        defect=look.defect,
    )


def _fingerprint(image) -> bytes:
    """Returns a digest of the size and the colours, whatever the file's format."""
    digest = hashlib.blake2b(f"{image.width},{image.height};".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()
