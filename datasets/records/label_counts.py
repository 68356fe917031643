"""The pixels of each class in the records of a split; images are not decoded."""

from __future__ import annotations

import numpy as np

from datasets.class_weights import ClassCounts
from datasets.files.defects import BadFileError
from datasets.records import labels, shards, tfrecord
from utils import log
from utils.classes import ClassSet
from utils.errors import UserError


def of_split(index: shards.Index, classes: ClassSet) -> ClassCounts:
    """Reads all labels of a split, and shows its progress; records without a label add nothing.

    Raises:
      UserError: If a record or its label cannot be read.
    """
    counts, stored = ClassCounts(), labels.of(classes)
    progress = log.Progress(len(index), "labels")
    try:
        for number in range(len(index)):
            _add(counts, index, number, stored)
            progress.update(number + 1)
    finally:
        progress.close()
    return counts


def _add(counts, index, number, stored):
    try:
        record = tfrecord.deserialize(index.read(number))
        if record.label:
            pixels, counted = stored.count(stored.read(record.label, f"label of {record.name}"))
            found = np.flatnonzero(pixels)
            counts.add_label(found, pixels[found], counted)
    except (ValueError, BadFileError) as error:
        raise UserError(f"{index.name(number)} cannot be used: {error}.") from error
