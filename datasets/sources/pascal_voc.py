"""PASCAL VOC's layout: JPEGImages, SegmentationClass, ImageSets/Segmentation/SPLIT.txt.

Masks may have VOC's palette, as in the devkit, or be the grey index files that other DeepLab code
makes of them. Data in this layout with other classes comes with a class table.
"""

from __future__ import annotations

from datasets import class_names, listing
from datasets.class_table import ClassTable
from datasets.options import ConvertOptions
from datasets.sources import Source
from utils import colormap


def find(options: ConvertOptions, given: frozenset) -> dict:
    """Returns split -> samples, one split per list; see `Source`."""
    image_format = options.image_format if "image_format" in given else None
    pairs = listing.Pairs(options.image_folder, options.semantic_segmentation_folder, image_format)
    return listing.from_lists(pairs, options.list_folder, options.splits)


VARIANTS = {
    "pascal_voc": Source(
        find=find,
        classes=ClassTable(
            "pascal_voc_seg",
            class_names.PASCAL_VOC,
            colors=tuple(tuple(color) for color in colormap.pascal(21).tolist()),
            ignore_label=255,
            ignore_color=(224, 224, 192),
        ),
    )
}
