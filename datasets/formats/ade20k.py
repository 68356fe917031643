"""ADE20K's scene parsing benchmark: 150 classes, mask value 0 for other things.

As in the DeepLab family, labels are the mask's values: 151 classes with 0 ignored. With
--reduce_zero_label they are 0 to 149 and 255 is ignored, as other code has it.
"""

from __future__ import annotations

from datasets import known
from datasets.files import pairs as listing
from datasets.formats import Found, Source
from options.conversion import ConvertOptions


def find(options: ConvertOptions, given: frozenset) -> Found:
    """Returns the samples of train and val; see `Source`."""
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
    image_format = options.image_format if "image_format" in given else None
    splits, origin = {}, {}
    for split, found in listing.choose(folders, options.splits).items():
        for flag, folder in found.items():
            listing.check_folder(folder, flag)
        pairs = listing.Pairs(*found.values(), image_format)
        splits[split] = listing.from_folder(pairs, split)
        origin.update(found)
    return Found(splits, origin, known.ADE20K_150 if options.reduce_zero_label else known.ADE20K)


VARIANTS = {
    "ade20k": Source(
        find=find,
        flags=(
            *("train_image_folder", "train_image_label_folder"),
            *("val_image_folder", "val_image_label_folder", "reduce_zero_label"),
        ),
    )
}
