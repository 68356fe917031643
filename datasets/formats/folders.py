"""Any pair of a folder of images and a folder of masks.

The splits are the lists SPLIT.txt of --list_folder; without that flag, the sub-folders; with
--val_fraction, a draw.
"""

from __future__ import annotations

import numpy as np

from datasets.files import pairs
from datasets.formats import CLASS_FLAGS, Format, Found
from options.config import Config
from utils.errors import OptionError, UserError


def find(config: Config) -> Found:
    """Returns the samples of each split; see `Format`."""
    found, only = pairs.pairs_of(config), config.conversion.splits
    if config.draw.val_fraction is not None:
        if "list_folder" in config.given:
            raise OptionError("--val_fraction and --list_folder both make splits; leave one out.")
        return _drawn(found, config)
    if "split_seed" in config.given:
        raise OptionError("--split_seed has no effect without --val_fraction.")
    if "list_folder" in config.given:
        folder = config.pairs.list_folder
        return Found(pairs.from_lists(found, folder, only), {**found.origin, "list_folder": folder})
    return Found(pairs.from_subfolders(found, only), found.origin)


def _drawn(found: pairs.Pairs, config: Config) -> Found:
    """Returns the splits train and val, each in the order of the names.

    Which images become val depends on the seed and the sorted names only.
    """
    options, samples = config.draw, pairs.from_folder(found)
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
    return Found(pairs.choose(splits, config.conversion.splits), {**found.origin, **draw})


VARIANTS = {
    "folders": Format(
        find=find,
        flags=(
            *("image_folder", "semantic_segmentation_folder", "list_folder"),
            *("val_fraction", "split_seed", *CLASS_FLAGS),
        ),
    )
}
