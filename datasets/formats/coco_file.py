"""Reads an annotation file of COCO's form, and checks every key, number and reference before use.

What cannot be drawn for sure gets no further: outlines reach the rasteriser as finite coordinates
near their image, and run lengths as counts that sum up to its pixels. What has no area, which
annotators leave behind by accident, is left out and counted. Source of the format: cocodataset.org,
"Data format".
"""

from __future__ import annotations

import collections
import math
import os
from typing import NamedTuple

from absl import logging

from datasets.files import archives, image_files
from datasets.files.bad_items import BadItems
from utils.errors import BadImageError, UserError
from utils.files import parse_json
from utils.imaging import pillow, run_lengths

# How far outside of its image a point may lie, in sizes of the image.
_OUTSIDE = 1.0
# A triangle; two points have no area.
_FEWEST_NUMBERS = 6


class Annotations(NamedTuple):
    """The checked content of an annotation file.

    Attributes:
      images: Dicts of id, file_name, height and width.
      folder: Where they lie.
      categories: Dicts of id and name, sorted by id.
      of_image: Image id -> its annotations: dicts of id, category_id, iscrowd, and `polygons`
        (lists x, y, x, y...) or `counts` (run lengths); of panoptic files file_name (None: that of
        the image) and segments_info.
      is_panoptic: Whether the annotations have segments_info.
    """

    images: list
    folder: str
    categories: list
    of_image: dict
    is_panoptic: bool


class _BadEntryError(Exception):
    """An entry cannot be used; the message says why."""


def read(path: str, find_folder, on_bad_item: str) -> Annotations:
    """Reads an annotation file.

    Args:
      path: The file.
      find_folder: Function (images) -> the folder that holds them.
      on_bad_item: The policy, see `BadItems`.

    Raises:
      UserError: If it is not such a file, or has entries that cannot be used.
    """
    flag = f"--annotations={path}"
    content = _parsed(path, flag)
    bad = BadItems(flag, on_bad_item)
    categories = _by_id(content["categories"], _category, "category", bad)
    images = _by_id(content["images"], _image, "image", bad)
    if not images:
        bad.close()
        raise UserError(f"{flag} lists no images.")
    folder = find_folder(list(images.values()))
    images = _sized(images, folder, bad)
    entries = content["annotations"]
    is_panoptic = any(isinstance(entry, dict) and "segments_info" in entry for entry in entries)
    checker = _Checker(images, categories, _segments if is_panoptic else _outline)
    of_image = collections.defaultdict(list)
    for number, entry in enumerate(entries):
        try:
            annotation = checker.check(entry)
        except _BadEntryError as problem:
            bad.add(f"annotation {_name(entry, number)} {problem}")
        else:
            if annotation is not None:
                of_image[annotation["image_id"]].append(annotation)
    bad.close()
    checker.report(flag)
    return Annotations(
        list(images.values()),
        folder,
        sorted(categories.values(), key=_order),
        of_image,
        is_panoptic,
    )


def _parsed(path: str, flag: str) -> dict:
    """Returns the content of a file, which has the three lists."""
    try:
        content = parse_json(archives.read(path))
    except OSError as error:
        raise UserError(f"{flag} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{flag} is not a COCO annotation file: no JSON ({error}).") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(
                f"{flag} is not a COCO annotation file: it has no list of {key}; it must hold "
                "images, annotations and categories."
            )
    return content


def _by_id(entries: list, check, what: str, bad: BadItems) -> dict:
    """Returns id -> checked entry; an id that comes twice is bad."""
    found = {}
    for number, entry in enumerate(entries):
        try:
            checked = check(entry)
            if checked["id"] in found:
                raise _BadEntryError("has the id of another one")
            found[checked["id"]] = checked
        except _BadEntryError as problem:
            bad.add(f"{what} {_name(entry, number)} {problem}")
    return found


def _name(entry, number: int) -> str:
    """Returns what messages call an entry: its id, else its place in the list."""
    identity = entry.get("id") if isinstance(entry, dict) else None
    is_known = _is_number(identity) or (isinstance(identity, str) and identity.isprintable())
    return str(identity)[:40] if is_known else f"at place {number} of the list"


def _category(entry) -> dict:
    return {"id": _id(entry, "id"), "name": _text(entry, "name")}


def _image(entry) -> dict:
    size = {key: _length(entry, key) for key in ("height", "width")}
    return {"id": _id(entry, "id"), "file_name": _text(entry, "file_name"), **size}


def _order(category: dict) -> tuple:
    """Returns the key that sorts categories by id: numbers, then texts."""
    return isinstance(category["id"], str), category["id"]


def _sized(images: dict, folder: str, bad: BadItems) -> dict:
    """Returns the images with their sizes, from the files where the entries do not state them."""
    found = {}
    for key, image in images.items():
        size = image["height"], image["width"]
        if None in size:
            try:
                file = image_files.read_image(os.path.join(folder, image["file_name"]))
            except BadImageError as error:
                bad.add(f"image {key} has no size, and {error}")
                continue
            size = file.height, file.width
        found[key] = {**image, "height": size[0], "width": size[1]}
    return found


def _value(entry, key: str):
    if not isinstance(entry, dict):
        raise _BadEntryError(f"is {str(entry)[:40]!r}, not an object")
    if entry.get(key) is None:
        raise _BadEntryError(f"has no {key}")
    return entry[key]


def _id(entry, key: str):
    """Returns an id; numbers that are written as text are numbers."""
    value = _value(entry, key)
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _BadEntryError(f"has the {key} {str(value)[:40]}, which is neither number nor text")
    return value


def _text(entry, key: str) -> str:
    value = _value(entry, key)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _BadEntryError(f"has the {key} {str(value)[:40]!r}, which is not a readable name")
    return value


def _length(entry, key: str) -> int | None:
    """Returns a side of an image, None where the file does not state it."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if value is None:
        return None
    if not _is_number(value) or not 1 <= value <= pillow.MOST_PIXELS or value != int(value):
        raise _BadEntryError(f"has the {key} {str(value)[:40]}, not a number of pixels")
    return int(value)


def _is_number(value) -> bool:
    """Whether a value is a finite number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Integers beyond the range of floats are not finite either.
    return is_number and abs(value) < 1e300 and math.isfinite(value)


class _Checker:
    """Checks annotations against images and categories."""

    def __init__(self, images: dict, categories: dict, check_content):
        self._images = images
        self._categories = categories
        self._check_content = check_content
        self._left_out = collections.Counter()

    def check(self, entry) -> dict | None:
        """Returns an annotation as `Annotations` describes it; None if it has no area.

        Raises:
          _BadEntryError: If it cannot be used.
        """
        image_id = _id(entry, "image_id")
        if image_id not in self._images:
            raise _BadEntryError(f"has image_id {image_id}, which is not among the images")
        content = self._check_content(entry, self._images[image_id], self)
        if content is None:
            return None
        return {"id": entry.get("id"), "image_id": image_id, **content}

    def category(self, entry) -> dict:
        """Returns the category_id and iscrowd of an annotation or a segment."""
        category = _id(entry, "category_id")
        if category not in self._categories:
            raise _BadEntryError(f"has category_id {category}, which is not among the categories")
        is_crowd = entry.get("iscrowd")
        if is_crowd not in (None, 0, 1):
            raise _BadEntryError(f"has iscrowd {str(is_crowd)[:40]!r}, not 0 or 1")
        return {"category_id": category, "iscrowd": bool(is_crowd)}

    def leave_out(self, reason: str):
        """Counts an annotation without area; returns None."""
        self._left_out[reason] += 1

    def report(self, flag: str):
        """Logs what was left out."""
        for reason, number in self._left_out.items():
            logging.warning("%s: %d annotations %s are left out.", flag, number, reason)


def _segments(entry: dict, unused_image: dict, checker: _Checker) -> dict:
    """Returns the content of a panoptic annotation."""
    listed = _value(entry, "segments_info")
    if not isinstance(listed, list):
        raise _BadEntryError("has segments_info that is not a list")
    segments = [{"id": _id(segment, "id"), **checker.category(segment)} for segment in listed]
    file_name = _text(entry, "file_name") if entry.get("file_name") is not None else None
    return {"file_name": file_name, "segments_info": segments}


def _outline(entry: dict, image: dict, checker: _Checker) -> dict | None:
    """Returns the content of an object; None if it has no area."""
    content = checker.category(entry)
    outline = entry.get("segmentation")
    if isinstance(outline, dict):
        return {**content, "counts": _counts(outline, image)}
    if not outline:
        is_box = bool(entry.get("bbox"))
        return checker.leave_out("with a box only" if is_box else "without an outline")
    if not isinstance(outline, list):
        raise _BadEntryError(f"has the segmentation {str(outline)[:40]!r}, which is no outline")
    # Some programs write the only polygon without a list around it.
    parts = [outline] if all(_is_number(value) for value in outline) else outline
    polygons = [_polygon(part, image) for part in parts]
    polygons = [polygon for polygon in polygons if len(polygon) >= _FEWEST_NUMBERS]
    if not polygons:
        return checker.leave_out("of fewer than three points")
    return {**content, "polygons": polygons}


def _polygon(part, image: dict) -> list:
    if not isinstance(part, list) or len(part) % 2:
        raise _BadEntryError(f"has the polygon {str(part)[:40]}, not pairs of numbers")
    for place, value in enumerate(part):
        side = image["height" if place % 2 else "width"]
        if not _is_number(value) or not -_OUTSIDE * side <= value <= (1 + _OUTSIDE) * side:
            axis = "y" if place % 2 else "x"
            raise _BadEntryError(
                f"has a point with {axis} = {str(value)[:40]}, but its image is "
                f"{image['height']}x{image['width']} (height x width)"
            )
    return part


def _counts(outline: dict, image: dict) -> list:
    size = image["height"], image["width"]
    if "size" in outline and outline["size"] != list(size):
        raise _BadEntryError(
            f"has run lengths for the size {str(outline['size'])[:40]}, but its image is {size}"
        )
    counts = outline.get("counts")
    if isinstance(counts, str):
        try:
            counts = run_lengths.coco_counts(counts)
        except ValueError as error:
            raise _BadEntryError(f"has run lengths that cannot be read: {error}") from error
    is_list = isinstance(counts, list) and all(
        isinstance(value, int) and value >= 0 for value in counts
    )
    if not is_list or sum(counts) != size[0] * size[1]:
        found = f"with the sum {sum(counts)}" if is_list else "that are not counts"
        raise _BadEntryError(f"has run lengths {found}, but its image has {size[0]}x{size[1]}")
    return counts
