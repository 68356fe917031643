"""The data that an audit reads: a folder of records, or files that are not converted yet.

Both give `tfrecord.Record`s, which are checked in one place. Files are read exactly as a conversion
reads them, but nothing is written.
"""

from __future__ import annotations

import dataclasses
import os

from datasets import splits as split_rules
from datasets.convert import writing
from datasets.convert.plan import Plan
from datasets.description import DATASET_FILE, Description
from datasets.files import defects, image_files
from datasets.files.defects import BadFileError
from datasets.records import checks, shards
from datasets.records.checks import Inspection
from utils.compat import tf
from utils.errors import BadImageError, UserError
from utils.imaging import pillow


@dataclasses.dataclass(frozen=True)
class Reading:
    """A record, decoded and checked.

    Attributes:
      inspection: Its content and its defect.
      change: Description of what a conversion changes in the image.
    """

    inspection: Inspection
    change: str = ""


@dataclasses.dataclass(frozen=True)
class FolderDefect:
    """A defect of a folder of records as a whole; `where` names the split or file."""

    where: str
    text: str


class Records:
    """A folder of shards."""

    def __init__(self, folder: str, described: Description, only: tuple | None):
        """Finds the shards.

        Args:
          folder: Where they are.
          described: Their description.
          only: The splits to read; None reads all.

        Raises:
          UserError: If there is no such split.
        """
        self.classes = described.classes
        self.title = os.path.abspath(folder)
        self.defects = []
        self._stated = described.splits if _has_file(folder) else {}
        # Split -> list of indexes, one per shard that can be read.
        self._indexes = {}
        known = sorted({*shards.splits(folder), *self._stated}, key=_order)
        for split in only or known:
            if split not in known:
                shards.find(folder, split)
            self._indexes[split] = self._open(folder, split)

    def _open(self, folder: str, split: str) -> list:
        try:
            indexes = [shards.index(folder, split)]
        except UserError as error:
            self.defects.append(FolderDefect(split, _without_full_stop(error)))
            indexes = self._readable(shards.paths_of(folder, split), str(error))
        found, stated = sum(map(len, indexes)), self._stated.get(split)
        if stated is not None and stated != found:
            text = f"the shards hold {found} records that can be found, but {DATASET_FILE} "
            self.defects.append(FolderDefect(split, text + f"says {stated}"))
        return indexes

    def _readable(self, paths: tuple, known: str) -> list:
        """Returns the indexes of the shards that are whole."""
        found = []
        for path in paths:
            try:
                found.append(shards.index_of_files((path,)))
            except UserError as error:
                if str(error) != known:
                    self.defects.append(FolderDefect(path, _without_full_stop(error)))
        return found

    @property
    def sizes(self) -> dict:
        """Split -> number of records."""
        return {split: sum(map(len, indexes)) for split, indexes in self._indexes.items()}

    def files(self) -> list:
        """Returns (split, path) of the files that have checksums."""
        return [
            (split, path)
            for split, indexes in self._indexes.items()
            for index in indexes
            for path in index.paths
        ]

    def place(self, split: str, number: int) -> str:
        """Returns the name of a record's place."""
        index, place = self._at(split, number)
        return index.name(place)

    def read(self, split: str, number: int) -> Reading:
        """Reads and checks a record."""
        index, place = self._at(split, number)
        inspection = checks.inspect_record(index, place, self.classes, needs_label=False)
        return Reading(_placed(inspection, index.name(place)))

    def _at(self, split: str, number: int) -> tuple:
        for index in self._indexes[split]:
            if number < len(index):
                return index, number
            number -= len(index)
        raise IndexError(number)


class Files:
    """Images and masks of a format."""

    def __init__(self, format_name: str, planned: Plan):
        """Takes the plan of a conversion."""
        self.classes = planned.classes
        self.title = f"{format_name} (not converted)"
        self.defects = []
        self._splits = planned.listing.splits
        self._reader = planned.reader()

    @property
    def sizes(self) -> dict:
        """Split -> number of images."""
        return {split: len(samples) for split, samples in self._splits.items()}

    def files(self) -> list:
        """Returns the files that have checksums: none."""
        return []

    def place(self, split: str, number: int) -> str:
        """Returns where an image is."""
        return self._splits[split][number].image

    def read(self, split: str, number: int) -> Reading:
        """Reads and checks an image and its mask, as a conversion does."""
        sample = self._splits[split][number]
        try:
            image, label, _ = writing.read_sample(sample, self._reader)
        except BadFileError as error:
            return Reading(_inspection_of_bad(sample, error))
        record = writing.record_of(sample, image, label)
        inspection = checks.inspect(record, self.classes, needs_label=False)
        return Reading(_placed(inspection, sample.image), image.change)


def _placed(inspection: Inspection, place: str) -> Inspection:
    """Returns an inspection whose defect begins with the place."""
    if inspection.defect is None:
        return inspection
    defect = dataclasses.replace(inspection.defect, text=f"{place}: {inspection.defect.text}")
    return dataclasses.replace(inspection, defect=defect)


def _inspection_of_bad(sample, error: BadFileError) -> Inspection:
    """Returns the readable part of files that cannot be used."""
    image = None
    if error.labels is not None:
        try:
            content = image_files.read_image(sample.image).content
            image = pillow.open_image(content, sample.image).convert("RGB")
        except (BadImageError, OSError):
            image = None
    return Inspection(sample.name, image, error.labels, defects.Defect(error.kind, str(error)))


def _has_file(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, DATASET_FILE))


def _order(split: str) -> tuple:
    """Returns the sort key of a split: training splits first."""
    return split_rules.is_evaluation(split), split


def wrong_checksum(path: str) -> int | None:
    """Returns the number of the first record of a shard whose checksum is wrong, or None."""
    number = 0
    try:
        for _ in tf.python_io.tf_record_iterator(path):
            number += 1
    except tf.errors.OpError:
        return number
    return None


def _without_full_stop(error: Exception) -> str:
    return str(error).rstrip(".")
