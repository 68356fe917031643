"""Any pair of a folder of images and a folder of masks.

The splits are the lists SPLIT.txt of --list_folder; without that flag, the sub-folders; with
--val_fraction, a draw.
"""

from __future__ import annotations

import numpy as np

from datasets.files import pairs as listing
from datasets.formats import CLASS_FLAGS, Found, Source
from options.conversion import ConvertOptions
from utils.errors import OptionError, UserError


def find(options: ConvertOptions, given: frozenset) -> Found:
    """Returns the samples of each split; see `Source`."""
    pairs = listing.pairs_of(options, given)
    if options.val_fraction is not None:
        if "list_folder" in given:
            raise OptionError("--val_fraction and --list_folder both make splits; leave one out.")
        return _drawn(pairs, options)
    if "split_seed" in given:
        raise OptionError("--split_seed has no effect without --val_fraction.")
    if "list_folder" in given:
        splits = listing.from_lists(pairs, options.list_folder, options.splits)
        return Found(splits, {**pairs.origin, "list_folder": options.list_folder})
    return Found(listing.from_subfolders(pairs, options.splits), pairs.origin)


def _drawn(pairs: listing.Pairs, options: ConvertOptions) -> Found:
    """Returns the splits train and val, each in the order of the names.

    Which images become val depends on the seed and the sorted names only.
    """
    samples = listing.from_folder(pairs)
    number = round(options.val_fraction * len(samples))
    if not 0 < number < len(samples):
        raise UserError(
            f"--val_fraction={options.val_fraction} of {len(samples)} images leaves a split empty."
        )
    order = np.random.RandomState(options.split_seed).permutation(len(samples))
    chosen = set(order[:number].tolist())
    splits = {
        "train": [sample for place, sample in enumerate(samples) if place not in chosen],
        "val": [sample for place, sample in enumerate(samples) if place in chosen],
    }
    draw = {"val_fraction": options.val_fraction, "split_seed": options.split_seed}
    return Found(listing.choose(splits, options.splits), {**pairs.origin, **draw})


VARIANTS = {
    "folders": Source(
        find=find,
        flags=(
            *("image_folder", "semantic_segmentation_folder", "list_folder"),
            *("val_fraction", "split_seed", *CLASS_FLAGS),
        ),
    )
}
