"""SBD, the Semantic Boundaries Dataset: masks of VOC's classes for 11,355 of VOC's images.

Its folder, `benchmark_RELEASE/dataset`, holds `cls/ID.mat`, `img/ID.jpg`, `train.txt`, `val.txt`.
Source: Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011.
"""

from __future__ import annotations

import os

from absl import logging

from datasets.files import archives
from datasets.files import pairs as listing
from datasets.formats import Found, Sample, Source
from datasets.known import PASCAL_VOC
from options.conversion import ConvertOptions
from utils.errors import OptionError, UserError

_SPLITS = ("train", "val")


def find(options: ConvertOptions, given: frozenset) -> Found:
    """Returns the samples of SBD's own splits; see `Source`."""
    masks = mask_folder(options)
    image_folder = os.path.join(options.sbd_folder, "img")
    if "image_folder" in given:
        image_folder = options.image_folder
    pairs = listing.Pairs(image_folder, masks)
    splits = {}
    for split in _SPLITS:
        path = os.path.join(options.sbd_folder, f"{split}.txt")
        names = [name for _, name in listing.read_names(path)] if archives.is_file(path) else []
        if names:
            splits[split] = [sample(pairs, path, name, split) for name in names]
        else:
            logging.warning("%s is empty or missing: split %s is left out.", path, split)
    if not splits:
        raise UserError(f"--sbd_folder={options.sbd_folder} has no lists train.txt and val.txt.")
    origin = {"sbd_folder": options.sbd_folder, "image_folder": image_folder}
    return Found(listing.choose(splits, options.splits), origin, PASCAL_VOC)


def mask_folder(options: ConvertOptions) -> str:
    """Returns the folder of the .mat files; an error if it is not there."""
    if options.sbd_folder is None:
        raise OptionError("pass --sbd_folder: the folder dataset of SBD (benchmark_RELEASE).")
    folder = os.path.join(options.sbd_folder, "cls")
    if not archives.is_folder(folder):
        raise UserError(f"--sbd_folder={options.sbd_folder} has no folder cls with .mat files.")
    return folder


def names_of(folder: str) -> list:
    """Returns the names of all masks of SBD, sorted."""
    return [listing.stem(name) for name in archives.names(folder) if name.endswith(".mat")]


def sample(pairs: listing.Pairs, list_path: str, name: str, split: str) -> Sample:
    """Returns the sample of a name; an error if its image or .mat file is missing."""
    image = pairs.image(name, split)
    mask = os.path.join(pairs.mask_folder, f"{name}.mat")
    if image is None:
        raise UserError(
            f"{list_path}: {name} has no image in {pairs.image_folder}; pass the --image_folder "
            "(or --voc_root) that holds it."
        )
    if not archives.is_file(mask):
        raise UserError(f"{list_path}: {name} has no mask {mask}; correct the list.")
    return Sample(name, image, mask)


VARIANTS = {"sbd": Source(find=find, flags=("sbd_folder", "image_folder"))}
