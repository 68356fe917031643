"""SBD, the Semantic Boundaries Dataset: masks of VOC's classes for 11,355 of VOC's images.

Its folder, `benchmark_RELEASE/dataset`, holds `cls/ID.mat`, `img/ID.jpg`, `train.txt`, `val.txt`.
Source: Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011.
"""

from __future__ import annotations

import os

from absl import logging

from datasets.files import archives, pairs
from datasets.files.pairs import Pairs, Sample
from datasets.formats import Format, Listing
from datasets.known import PASCAL_VOC
from options.config import Config
from utils.errors import OptionError, UserError

_SPLITS = ("train", "val")


def find(config: Config) -> Listing:
    """Returns the samples of SBD's own splits; see `Format`."""
    folder = config.sbd.sbd_folder
    masks = mask_folder(folder)
    image_folder = os.path.join(folder, "img")
    if "image_folder" in config.given:
        image_folder = config.pairs.image_folder
    found = Pairs(image_folder, masks)
    splits = {}
    for split in _SPLITS:
        path = os.path.join(folder, f"{split}.txt")
        names = [name for _, name in pairs.read_names(path)] if archives.is_file(path) else []
        if names:
            splits[split] = [sample(found, path, name, split) for name in names]
        else:
            logging.warning("%s is empty or missing: skipping split %s.", path, split)
    if not splits:
        raise UserError(f"--sbd_folder={folder} has no lists train.txt and val.txt.")
    origin = {"sbd_folder": folder, "image_folder": image_folder}
    return Listing(pairs.choose(splits, config.conversion.splits), origin, PASCAL_VOC)


def mask_folder(sbd_folder: str | None) -> str:
    """Returns the folder of the .mat files; raises UserError if it does not exist."""
    if sbd_folder is None:
        raise OptionError("pass --sbd_folder: the folder dataset of SBD (benchmark_RELEASE).")
    folder = os.path.join(sbd_folder, "cls")
    if not archives.is_folder(folder):
        raise UserError(f"--sbd_folder={sbd_folder} has no folder cls with .mat files.")
    return folder


def names_of(folder: str) -> list:
    """Returns the names of all masks of SBD, sorted."""
    return [pairs.stem(name) for name in archives.names(folder) if name.endswith(".mat")]


def sample(found: Pairs, list_path: str, name: str, split: str) -> Sample:
    """Returns the sample of a name; raises UserError if its image or .mat file is missing."""
    image = found.image(name, split)
    mask = os.path.join(found.mask_folder, f"{name}.mat")
    if image is None:
        raise UserError(
            f"{list_path}: {name} has no image in {found.image_folder}; pass the --image_folder "
            "(or --voc_root) that holds it."
        )
    if not archives.is_file(mask):
        raise UserError(f"{list_path}: {name} has no mask {mask}; correct the list.")
    return Sample(name, image, mask)


VARIANTS = {"sbd": Format(find=find, flags=("sbd_folder", "image_folder"))}
