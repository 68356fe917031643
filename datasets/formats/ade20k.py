"""ADE20K's scene parsing benchmark: 150 classes; mask value 0 means other things.

As in the DeepLab family, labels are the mask's values: 151 classes with 0 ignored. With
--reduce_zero_label they are 0 to 149 and 255 is ignored, as in most other code.
"""

from __future__ import annotations

from datasets import known
from datasets.files import pairs
from datasets.formats import Format, Listing
from options.config import Config


def find(config: Config) -> Listing:
    """Returns the samples of train and val; see `Format`."""
    options = config.ade20k
    folders = {
        "train": {
            "train_image_folder": options.train_image_folder,
            "train_image_label_folder": options.train_image_label_folder,
        },
        "val": {
            "val_image_folder": options.val_image_folder,
            "val_image_label_folder": options.val_image_label_folder,
        },
    }
    splits, origin = {}, {}
    for split, found in pairs.choose(folders, config.conversion.splits).items():
        for flag, folder in found.items():
            pairs.check_folder(folder, flag)
        splits[split] = pairs.from_folder(
            pairs.Pairs(*found.values(), pairs.image_format(config)), split
        )
        origin.update(found)
    reduced = config.classes.reduce_zero_label
    return Listing(splits, origin, known.ADE20K_150 if reduced else known.ADE20K)


VARIANTS = {
    "ade20k": Format(
        find=find,
        flags=(
            *("train_image_folder", "train_image_label_folder"),
            *("val_image_folder", "val_image_label_folder", "reduce_zero_label"),
        ),
    )
}
