"""PASCAL VOC's layout: JPEGImages, SegmentationClass, ImageSets/Segmentation/SPLIT.txt.

Masks may have VOC's palette, as in the devkit, or be the grey index files that DeepLab's scripts
make of them. For other data in this layout pass a class table.
"""

from __future__ import annotations

import os

from absl import logging

from datasets.files import archives, pairs
from datasets.formats import CLASS_FLAGS, Format, Listing
from datasets.known import KNOWN, PASCAL_VOC
from options.config import Config
from utils.errors import OptionError, UserError

# Where the devkit is in its .tar file.
_INSIDE = ("", "VOC2012", os.path.join("VOCdevkit", "VOC2012"))
LISTS = os.path.join("ImageSets", "Segmentation")


def find(config: Config) -> Listing:
    """Returns the samples of each split, one split per list; see `Format`."""
    image_folder, mask_folder, list_folder = folders(config)
    found = pairs.Pairs(image_folder, mask_folder, pairs.image_format(config))
    splits = pairs.from_lists(found, list_folder, config.conversion.splits)
    if not any(getattr(config.classes, name) for name in CLASS_FLAGS):
        warn_of_numbers(splits)
    return Listing(splits, {**found.origin, "list_folder": list_folder}, PASCAL_VOC)


def folders(config: Config) -> tuple:
    """Returns the folders of images, masks and lists.

    Raises:
      OptionError: If --voc_root and one of them are given.
      UserError: If --voc_root holds no devkit.
    """
    names = ("image_folder", "semantic_segmentation_folder", "list_folder")
    voc_root = config.voc.voc_root
    if voc_root is None:
        return tuple(getattr(config.pairs, name) for name in names)
    for name in names:
        if name in config.given:
            raise OptionError(f"--voc_root and --{name} exclude each other; leave one out.")
    for inside in _INSIDE:
        root = os.path.join(voc_root, inside)
        if archives.is_folder(os.path.join(root, "JPEGImages")):
            return tuple(os.path.join(root, n) for n in ("JPEGImages", "SegmentationClass", LISTS))
    raise UserError(
        f"--voc_root={voc_root} holds no devkit: neither it nor VOCdevkit/VOC2012 in it has a "
        "folder JPEGImages."
    )


def warn_of_numbers(splits: dict):
    """Warns about splits whose number of images differs from VOC's lists."""
    expected = KNOWN["pascal_voc_seg"].splits
    for split, samples in splits.items():
        if len(samples) != expected.get(split, len(samples)):
            logging.warning(
                "Split %s has %d images; VOC 2012's has %d.", split, len(samples), expected[split]
            )


VARIANTS = {
    "pascal_voc": Format(
        find=find,
        flags=(
            *("voc_root", "image_folder", "semantic_segmentation_folder", "list_folder"),
            *CLASS_FLAGS,
        ),
    )
}
