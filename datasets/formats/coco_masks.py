"""Masks from COCO's annotations: polygons, run lengths, and panoptic PNG files."""

from __future__ import annotations

import os

import numpy as np

from datasets.files import image_files
from datasets.files.defects import BadFileError
from datasets.files.mask_files import DrawnMask
from utils.imaging import pillow, run_lengths

IGNORED = 255


class Objects(DrawnMask):
    """The objects of an image, drawn over each other.

    Attributes:
      has_background: Whether a label stands for pixels without an object.
    """

    has_background = True

    def __init__(self, image: dict, annotations: list, label_of: dict, count: int, overlap: str):
        """Takes the entries of the annotation file.

        Args:
          image: Its entry, as `coco_file.Annotations` has it.
          annotations: Its objects, likewise.
          label_of: Category id -> label; that of background, or -1, is not drawn.
          count: The number of classes.
          overlap: "area": the smaller object is on top; "ignore": pixels of two objects, and all of
            crowds, are ignored.
        """
        self.name = f"(drawn from the annotations of {image['file_name']})"
        self._size = image["height"], image["width"]
        self._annotations = annotations
        self._label_of = label_of
        self._count = count
        self._overlap = overlap

    def draw(self) -> np.ndarray:
        """Returns the labels, uint8 [h, w]."""
        labels = np.zeros(self._size, np.uint8)
        crowds, objects = self._drawn(lowest=1)
        if self._overlap == "area":
            self._paint(labels, crowds, objects)
        else:
            covered = np.zeros(self._size, np.int32)
            for mask, label in objects:
                labels[mask] = label
                covered += mask
            labels[covered > 1] = IGNORED
            for mask, _ in crowds:
                labels[mask] = IGNORED
        return labels

    def _drawn(self, lowest: int) -> tuple:
        """Returns the (pixels, label) of crowds, and of objects, from a label on."""
        crowds, objects = [], []
        for annotation in self._annotations:
            label = self._label_of[annotation["category_id"]]
            if label >= lowest:
                mask = self._pixels(annotation)
                (crowds if annotation["iscrowd"] else objects).append((mask, label))
        return crowds, objects

    def _paint(self, labels: np.ndarray, crowds: list, objects: list):
        for mask, _ in crowds:
            labels[mask] = IGNORED
        # A stable sort: of objects of the same size the later one is on top.
        for mask, label in sorted(objects, key=lambda entry: -int(entry[0].sum())):
            labels[mask] = label

    def _pixels(self, annotation: dict) -> np.ndarray:
        """Returns the pixels of an object, bool [h, w]."""
        if "counts" in annotation:
            return run_lengths.of_coco_counts(annotation["counts"], *self._size)
        # Needed for COCO only.
        from pycocotools import mask as coco

        parts = coco.frPyObjects(annotation["polygons"], *self._size)
        return coco.decode(coco.merge(parts)).astype(bool)


class ObjectSets(Objects):
    """The objects of an image, where a pixel has the classes of all objects on it."""

    has_background = False

    def draw(self) -> tuple:
        """Returns which pixels have each class, bool [h, w, classes], and which are ignored."""
        crowds, objects = self._drawn(lowest=0)
        members = np.zeros([*self._size, self._count], bool)
        for mask, label in objects:
            members[mask, label] = True
        ignored = np.zeros(self._size, bool)
        for mask, _ in crowds:
            ignored |= mask
        return members, ignored & ~members.any(axis=2)


class Panoptic(DrawnMask):
    """A panoptic PNG file: red + 256 green + 65536 blue is the id of a segment."""

    def __init__(self, path: str, segments: list, label_of: dict):
        """Takes the file and the segments of its annotation: id, category_id, iscrowd."""
        self.name = path
        self._segments = segments
        self._label_of = label_of

    def draw(self) -> np.ndarray:
        """Returns the labels, uint8 [h, w]; pixels outside of all segments are ignored."""
        content = image_files.read(self.name)
        with image_files.bad_images_as_bad_files():
            colors = pillow.rgb(content, self.name).astype(np.int64)
        ids = colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]
        labels = np.full(ids.shape, IGNORED, np.uint8)
        for segment in self._segments:
            if not segment["iscrowd"]:
                labels[ids == segment["id"]] = self._label_of[segment["category_id"]]
        unknown = set(np.unique(ids).tolist()) - {0} - {segment["id"] for segment in self._segments}
        if unknown:
            raise BadFileError(
                f"{self.name} holds the segment {min(unknown)}, which is missing in its annotation"
            )
        return labels


def panoptic(folder: str, image: dict, annotations: list, label_of: dict) -> Panoptic:
    """Returns the mask of an image's panoptic annotation."""
    name = image["file_name"].rsplit(".", 1)[0] + ".png"
    segments = []
    for annotation in annotations:
        name = annotation["file_name"] or name
        segments += annotation["segments_info"]
    return Panoptic(os.path.join(folder, name), segments, label_of)
