"""Checks of records that would fail or train nonsense, before a graph is built."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from absl import logging
from PIL import Image

from datasets.files import defects
from datasets.files.defects import BadFileError, Defect
from datasets.records import labels, shards, tfrecord
from utils import log
from utils.classes import ClassSet
from utils.errors import UserError
from utils.imaging import pillow

# Records inspected when a run starts, evenly spread over the split; takes a fraction of a second.
SAMPLE = 64
# Records of one length that are compared with those of another split.
_SAME_LENGTH = 4
_SHOWN_LABELS = 10
# Pillow's names of what has no colours.
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")


def check_sample(index: shards.Index, classes: ClassSet, *, needs_label: bool) -> np.ndarray:
    """Inspects some records, evenly spread over the split.

    `python -m datasets.audit` inspects all of them in the same way.

    Returns:
      The pixels of each label in them, int64 [256].

    Raises:
      UserError: If one cannot be used, or labels are needed and all of their pixels are ignored.
    """
    records = np.unique(np.linspace(0, len(index) - 1, SAMPLE).astype(int))
    pixels, counted = _check(index, classes, records, needs_label)
    if needs_label and not counted:
        raise UserError(
            f"all pixels of the {len(records)} inspected labels are ignored (label "
            f"{classes.ignore_label}), for example in {index.name(records[0])}; run python -m "
            "datasets.audit, and convert the data with the right ignore label."
        )
    return pixels


def check_channels(index: shards.Index, channels: int):
    """Inspects the images of the same records for their number of channels.

    Raises:
      UserError: If a network with so many input channels cannot be fed with them.
    """
    if channels == 3:
        # The pipeline makes RGB of all images.
        return
    for number in np.unique(np.linspace(0, len(index) - 1, SAMPLE).astype(int)):
        found = _channels(index, number)
        if found not in (None, channels):
            raise UserError(
                f"--input_channels is {channels}, but {index.name(number)} has {found} channels; "
                f"pass --input_channels={1 if found == 1 else 3}."
            )


def _channels(index, number) -> int | None:
    """Returns 1 for a grey image, 3 for one in colour; None if it is damaged. Alpha is not read."""
    try:
        with Image.open(io.BytesIO(tfrecord.deserialize(index.read(number)).image)) as opened:
            return 1 if opened.mode in _GREY_MODES else 3
    except (OSError, ValueError):
        # The check of labels and images says what is wrong with it.
        return None


def warn_of_shared(index: shards.Index, other: shards.Index, split: str, other_split: str):
    """Warns if a record of a split is also in another one, which should be disjoint.

    Equal records have equal lengths, which are known without reading: few must be compared.
    """
    lengths = np.intersect1d(index.length, other.length)[:SAMPLE]
    for length in lengths:
        first, second = (
            np.flatnonzero(which.length == length)[:_SAME_LENGTH] for which in (index, other)
        )
        contents = {index.read(number): number for number in first}
        for number in second:
            content = other.read(number)
            if content in contents:
                logging.warning(
                    "%s of split %s is also %s of split %s: results on it do not generalize; "
                    "python -m datasets.audit finds all such records.",
                    index.name(contents[content]),
                    split,
                    other.name(number),
                    other_split,
                )
                return


def explain_failure(index: shards.Index, classes: ClassSet, *, needs_label: bool):
    """Inspects every record; raises UserError that names the first one that cannot be used.

    For use after the input pipeline failed, since TensorFlow's message names no record.
    """
    logging.info("Reading failed; searching %d records for the bad one.", len(index))
    _check(index, classes, range(len(index)), needs_label)


def find_bad(index: shards.Index, classes: ClassSet, *, needs_label: bool, limit: int) -> dict:
    """Reads every record and returns those that cannot be used: number -> reason.

    Raises:
      UserError: If there are more than `limit`.
    """
    bad = {}
    progress = log.Progress(len(index))
    for number in range(len(index)):
        defect = inspect_record(index, number, classes, needs_label=needs_label).defect
        if defect:
            bad[number] = defect.text
        if len(bad) > limit:
            raise UserError(
                f"more than --max_bad_records={limit} records cannot be used; the last one found "
                f"is {index.name(number)}: {defect.text}."
            )
        progress.update(number + 1)
    progress.close()
    return bad


def _check(index, classes, records, needs_label) -> tuple:
    """Returns the pixels of each label, and how many count.

    Raises:
      UserError: For the first bad record.
    """
    pixels, counted, stored = np.zeros(256, np.int64), 0, labels.of(classes)
    for number in records:
        seen = inspect_record(index, number, classes, needs_label=needs_label)
        if seen.defect:
            raise UserError(
                f"{index.name(number)} cannot be used: {seen.defect.text}; convert the data again, "
                "or leave such records out with --on_bad_record=skip."
            )
        if seen.label is not None:
            of_labels, of_counted = stored.count(seen.label)
            pixels += of_labels
            counted += of_counted
    return pixels, counted


@dataclasses.dataclass(frozen=True)
class Inspection:
    """A record, decoded.

    Attributes:
      name: The image's name; empty if the record cannot be read.
      image: The image; None if it is damaged.
      label: The label, integers [h, w], as `labels.of` reads it; None if there is none that can be
        read.
      defect: Its defect, or None.
    """

    name: str = ""
    image: Image.Image | None = None
    label: np.ndarray | None = None
    defect: Defect | None = None


def inspect_record(
    index: shards.Index, number: int, classes: ClassSet, *, needs_label: bool
) -> Inspection:
    """Reads and checks one record of a split; see `inspect`."""
    try:
        record = tfrecord.deserialize(index.read(number))
    except ValueError as error:
        return Inspection(defect=Defect(defects.UNREADABLE, str(error)))
    return inspect(record, classes, needs_label=needs_label)


def inspect(record: tfrecord.Record, classes: ClassSet, *, needs_label: bool) -> Inspection:
    """Decodes and checks a record, for the start of a run and for the audit."""
    try:
        image = _image(record)
    except ValueError as error:
        defect = Defect(defects.UNREADABLE, f"image {record.name}: {error}")
        return Inspection(record.name, defect=defect)
    if not record.label:
        defect = Defect(defects.NO_LABEL, f"image {record.name} has no label")
        return Inspection(record.name, image, defect=defect if needs_label else None)
    stored = labels.of(classes)
    try:
        values = stored.read(record.label, f"label of {record.name}")
    except BadFileError as error:
        return Inspection(record.name, image, defect=Defect(error.kind, str(error)))
    if values.shape != (image.height, image.width):
        text = (
            f"image {record.name} is {image.height}x{image.width} (height x width), but its label "
            f"is {values.shape[0]}x{values.shape[1]}"
        )
        return Inspection(record.name, image, values, Defect(defects.SIZES, text))
    unknown = stored.unknown(values)
    defect = _unknown_labels(record.name, unknown, classes) if unknown else None
    return Inspection(record.name, image, values, defect)


def _image(record: tfrecord.Record, *, pixels: bool = True) -> Image.Image:
    """Returns a record's image; raises ValueError if the input pipeline cannot decode it."""
    image = pillow.load(record.image, pixels=pixels)
    # Cameras put several pictures into one file (MPO), of which every decoder takes the first.
    if image.format not in ("JPEG", "MPO", "PNG"):
        raise ValueError(f"is a {image.format} file, but records hold JPEG and PNG files")
    return image


def _unknown_labels(name: str, unknown: list, classes: ClassSet) -> Defect:
    text = (
        f"label of {name} holds {', '.join(map(str, unknown[:_SHOWN_LABELS]))}, but {classes.name} "
        f"has {classes.count} classes (0 to {classes.count - 1}) and ignore label "
        f"{classes.ignore_label}; correct the number of classes, or convert the data again"
    )
    return Defect(defects.LABELS, text)


def image_sizes(index: shards.Index) -> tuple[np.ndarray, list]:
    """Reads the image sizes of a split.

    Returns:
      int64 [records, 2], height and width; and the names of the images.

    Raises:
      UserError: If a record cannot be read.
    """
    sizes, names = [], []
    for number in range(len(index)):
        try:
            record = tfrecord.deserialize(index.read(number))
        except ValueError as error:
            raise UserError(f"{index.name(number)} cannot be used: {error}.") from error
        # From the header: the features for the size are optional, and wrong in some records.
        try:
            image = _image(record, pixels=False)
        except ValueError as error:
            raise UserError(
                f"{index.name(number)} cannot be used: image {record.name}: {error}."
            ) from error
        sizes.append((image.height, image.width))
        names.append(record.name)
    return np.array(sizes, np.int64), names
