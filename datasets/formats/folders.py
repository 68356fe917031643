"""Any pair of a folder of images and a folder of masks.

The splits are the lists SPLIT.txt of --list_folder; without that flag, the sub-folders; with
--val_fraction, a draw.
"""

from __future__ import annotations

from datasets.files import pairs
from datasets.formats import CLASS_FLAGS, Format, Listing
from options.config import Config


def find(config: Config) -> Listing:
    """Returns the samples of each split; see `Format`."""
    found = pairs.pairs_of(config)
    stated = pairs.stated_splits(found, config)
    if stated is not None:
        return Listing(*stated)
    return Listing(pairs.from_subfolders(found, config.conversion.splits), found.origin)


VARIANTS = {
    "folders": Format(
        find=find,
        flags=(
            *("image_folder", "semantic_segmentation_folder", "mask_suffix"),
            *(*pairs.SPLIT_FLAGS, *CLASS_FLAGS),
        ),
    )
}
