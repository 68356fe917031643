"""Images, and one folder of masks per class, where a pixel may have several classes.

A mask is a PNG file with the name of its image; a pixel that is not 0 has the class. An image
without a mask in a folder does not have that class.
"""

from __future__ import annotations

import os

import numpy as np

from datasets import class_table
from datasets.files import archives, defects, mask_files, pairs
from datasets.files.defects import BadFileError
from datasets.formats import Format, Listing
from options.config import Config
from utils.classes import MULTILABEL, ClassSet
from utils.errors import OptionError, UserError


class ClassMasks(mask_files.DrawnMask):
    """The mask files of an image."""

    def __init__(self, name: str, paths: tuple):
        """Takes the files.

        Args:
          name: The name in messages.
          paths: The path of each class's mask, None where the image does not have the class.
        """
        self.name = name
        self._paths = paths

    def draw(self) -> tuple:
        """Returns which pixels have each class, bool [h, w, classes]; none is ignored."""
        found = {path: mask_files.nonzero(path) for path in self._paths if path is not None}
        (first, size), *others = [(path, mask.shape) for path, mask in found.items()]
        for path, other in others:
            if other != size:
                raise BadFileError(
                    f"{path} is {other[0]}x{other[1]} (height x width), but {first} is "
                    f"{size[0]}x{size[1]}",
                    defects.SIZES,
                )
        absent = np.zeros(size, bool)
        return np.stack([found.get(path, absent) for path in self._paths], axis=2), None


class _Pairs(pairs.Pairs):
    """Images with the masks of several folders."""

    def __init__(self, image_folder: str, folders: list, image_format: str | None):
        super().__init__(image_folder, os.path.dirname(folders[0]) or ".", image_format)
        self._of_class = [pairs.Pairs(image_folder, folder) for folder in folders]

    def mask(self, entry: str, split: str) -> ClassMasks | None:
        """Returns the masks of a list entry; None if there is none of any class."""
        return _masks(entry, [one.mask(entry, split) for one in self._of_class])

    def mask_of_image(self, name: str) -> ClassMasks | None:
        """Returns the masks with the relative path of an image; None if there is none."""
        return _masks(name, [one.mask_of_image(name) for one in self._of_class])


def _masks(name: str, paths: list) -> ClassMasks | None:
    if all(path is None for path in paths):
        return None
    return ClassMasks(f"(the masks of {name})", tuple(paths))


def find(config: Config) -> Listing:
    """Returns the samples of each split; see `Format`."""
    folders = _folders(config)
    classes = _classes(config, folders)
    by_name = {_class_of(folder): folder for folder in folders}
    images = config.pairs.image_folder
    found = _Pairs(images, [by_name[name] for name in classes.names], pairs.image_format(config))
    stated = pairs.stated_splits(found, config)
    if stated is None and len(config.conversion.splits or ()) == 1:
        (split,) = config.conversion.splits
        stated = {split: pairs.from_folder(found, split)}, {}
    if stated is None:
        raise OptionError(
            "the splits are unknown: pass --list_folder, --val_fraction, or --splits=NAME to make "
            "one split of all images."
        )
    splits, origin = stated
    where = [os.path.abspath(folder) for folder in folders]
    return Listing(splits, {**origin, "image_folder": images, "mask_folders": where}, classes)


def _folders(config: Config) -> list:
    """Returns the folder of each class."""
    given = config.binary_masks.mask_folders
    if not given:
        raise OptionError("pass --mask_folders: the folders of the masks, one per class.")
    for folder in given:
        pairs.check_folder(folder, "mask_folders")
    if len(given) > 1:
        return list(given)
    inside = [os.path.join(given[0], name) for name in archives.names(given[0])]
    return [path for path in inside if archives.is_folder(path)] or list(given)


def _classes(config: Config, folders: list) -> ClassSet:
    """Returns the classes: those of the class table, else one per folder in their order.

    Raises:
      UserError: If the table and the folders name other classes.
    """
    names = tuple(map(_class_of, folders))
    path = config.classes.class_table
    classes = ClassSet(names, task=MULTILABEL) if path is None else class_table.load(path).classes
    if sorted(classes.names) != sorted(names):
        raise UserError(
            f"--mask_folders are those of {', '.join(names)}, but --class_table={path} names "
            f"{', '.join(classes.names)}; rename one, or leave the table out."
        )
    return classes


def _class_of(folder: str) -> str:
    return os.path.basename(os.path.normpath(folder))


VARIANTS = {
    "binary_masks": Format(
        find=find,
        flags=("image_folder", "mask_folders", "class_table", *pairs.SPLIT_FLAGS),
        tasks=(MULTILABEL,),
    )
}
