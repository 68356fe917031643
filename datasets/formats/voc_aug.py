"""PASCAL VOC 2012 with the augmented training split: VOC's train, and the rest from SBD.

The masks of split trainaug are those of `SegmentationClassAug` (--aug_folder), or made of SBD
itself (--sbd_folder): VOC's own mask where VOC has one in train, else SBD's. The other lists are as
in `pascal_voc`.
"""

from __future__ import annotations

import os

from absl import logging

from datasets.files import archives, pairs
from datasets.formats import Format, Listing, pascal_voc, sbd
from datasets.known import PASCAL_VOC
from options.config import Config
from utils.errors import OptionError, UserError

TRAINAUG = "trainaug"


def find(config: Config) -> Listing:
    """Returns the samples of trainaug and of each list of VOC; see `Format`."""
    options = config.voc_aug
    if (options.aug_folder is None) == (config.sbd.sbd_folder is None):
        raise OptionError("pass either --aug_folder (SegmentationClassAug) or --sbd_folder.")
    folders, only = pascal_voc.folders(config), config.conversion.splits
    splits = _voc_splits(folders, only)
    if only is None or TRAINAUG in only:
        make = _from_masks if options.aug_folder else _from_sbd
        splits[TRAINAUG] = make(config, *folders)
        pairs.check_names(splits[TRAINAUG], TRAINAUG)
    pascal_voc.warn_of_numbers(splits)
    names = ("image_folder", "semantic_segmentation_folder", "list_folder")
    origin = dict(zip(names, folders))
    for name in ("aug_folder", "sbd_folder", "trainaug_list"):
        value = {**options.to_dict(), **config.sbd.to_dict()}[name]
        if value is not None:
            origin[name] = value
    return Listing(splits, origin, PASCAL_VOC)


def _voc_splits(folders: tuple, only: tuple | None) -> dict:
    image_folder, mask_folder, list_folder = folders
    if only is None:
        pairs.check_folder(list_folder, "list_folder")
        found = [
            name[: -len(".txt")] for name in archives.names(list_folder) if name[-4:] == ".txt"
        ]
        only = tuple(name for name in found if name != TRAINAUG)
    only = tuple(split for split in only if split != TRAINAUG)
    if not only:
        return {}
    return pairs.from_lists(pairs.Pairs(image_folder, mask_folder), list_folder, only)


def _names(path: str) -> list:
    names = [pairs.stem(line.split()[0]) for _, line in pairs.read_names(path)]
    if not names:
        raise UserError(f"{path} is empty; download the list of the augmented images again.")
    return names


def _from_masks(config: Config, image_folder: str, mask_folder: str, list_folder: str) -> list:
    """Returns the samples of trainaug, with masks of SegmentationClassAug."""
    folder = _mask_folder(config.voc_aug.aug_folder)
    path = config.voc_aug.trainaug_list or os.path.join(list_folder, f"{TRAINAUG}.txt")
    if not archives.is_file(path):
        raise UserError(f"{path} is missing; pass --trainaug_list, the list of the 10,582 names.")
    lines = [(number, name) for number, name in enumerate(_names(path), 1)]
    return pairs.from_lines(pairs.Pairs(image_folder, folder), TRAINAUG, path, lines)


def _mask_folder(folder: str) -> str:
    """Returns the folder of the masks, which archives often hold as a sub-folder."""
    for inside in ("", "SegmentationClassAug"):
        path = os.path.join(folder, inside)
        if archives.is_folder(path) and any(name.endswith(".png") for name in archives.names(path)):
            return path
    raise UserError(
        f"--aug_folder={folder} has no masks (.png), nor has SegmentationClassAug in it."
    )


def _from_sbd(config: Config, image_folder: str, mask_folder: str, list_folder: str) -> list:
    """Returns the samples of trainaug, with VOC's masks where it has them, else SBD's."""
    voc = pairs.Pairs(image_folder, mask_folder)
    own = pairs.Pairs(image_folder, sbd.mask_folder(config.sbd.sbd_folder))
    train = _listed(list_folder, "train")
    names, path = _augmented(config.voc_aug.trainaug_list, train, list_folder, own.mask_folder)
    in_train = set(train)
    samples = []
    for name in names:
        if name in in_train:
            samples += pairs.from_lines(voc, TRAINAUG, path, [(0, name)])
        else:
            samples.append(sbd.sample(own, path, name, TRAINAUG))
    return samples


def _augmented(stated: str | None, train: list, list_folder: str, masks: str) -> tuple:
    """Returns the names of trainaug, and the path to name in messages."""
    if stated is not None:
        return _names(stated), stated
    val = set(_listed(list_folder, "val"))
    if not val:
        logging.warning("%s has no val.txt: trainaug may hold images of val.", list_folder)
    return sorted((set(train) | set(sbd.names_of(masks))) - val), masks


def _listed(list_folder: str, split: str) -> list:
    path = os.path.join(list_folder, f"{split}.txt")
    if not archives.is_file(path):
        return []
    return [name for _, name in pairs.read_names(path)]


VARIANTS = {
    "voc_aug": Format(
        find=find,
        flags=(
            *("voc_root", "image_folder", "semantic_segmentation_folder", "list_folder"),
            *("aug_folder", "sbd_folder", "trainaug_list"),
        ),
    )
}
