"""Any pair of a folder of images and a folder of masks.

The splits are the lists SPLIT.txt of --list_folder; without that flag, the sub-folders.
"""

from __future__ import annotations

from datasets import listing
from datasets.options import ConvertOptions
from datasets.sources import Source


def find(options: ConvertOptions, given: frozenset) -> dict:
    """Returns split -> samples; see `Source`."""
    image_format = options.image_format if "image_format" in given else None
    pairs = listing.Pairs(options.image_folder, options.semantic_segmentation_folder, image_format)
    if "list_folder" in given:
        return listing.from_lists(pairs, options.list_folder, options.splits)
    return listing.from_subfolders(pairs, options.splits)


VARIANTS = {"folders": Source(find=find)}
