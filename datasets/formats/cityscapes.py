"""Cityscapes: leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png and gtFine/SPLIT/CITY/NAME_gtFine_*.png.

Masks hold the 19 train ids, as its scripts write them (labelTrainIds), or labelIds, which are
mapped to them.
"""

from __future__ import annotations

import dataclasses
import os

from datasets.files import archives, pairs
from datasets.files.pairs import Sample
from datasets.formats import Format, Listing
from datasets.known import CITYSCAPES, CITYSCAPES_LABEL_IDS
from options.config import Config
from utils.classes import ClassSet
from utils.errors import UserError

_TRAIN_IDS, _LABEL_IDS = "labelTrainIds", "labelIds"
# The labelIds of no class. The licence plate has id -1, which 8 bits hold as 255.
_VOID = tuple(value for value in range(34) if value not in CITYSCAPES_LABEL_IDS)
_IMAGE_END = "_leftImg8bit"
# In the folders of gtFine; the masks of test hold nothing.
_SPLITS = ("train", "train_extra", "val")


def find(config: Config) -> Listing:
    """Returns the samples of train and val, and of the coarse masks train_extra; see `Format`."""
    options, only = config.cityscapes, config.conversion.splits
    root = options.cityscapes_root
    images = os.path.join(root, "leftImg8bit")
    if not archives.is_folder(images):
        raise UserError(f"--cityscapes_root={root} has no folder leftImg8bit.")
    present = {
        split: os.path.join(images, split)
        for split in (*_SPLITS, pairs.UNLABELLED_SPLIT)
        if archives.is_folder(os.path.join(images, split))
    }
    if only is None:
        present.pop(pairs.UNLABELLED_SPLIT, None)
    found = {
        split: _images(folder)
        for split, folder in pairs.choose(present, only, f"folders of {images}").items()
    }
    if not any(found.values()):
        raise UserError(f"{images} has no images called *{_IMAGE_END}.png in its splits.")
    truth = os.path.join(root, options.cityscapes_ground_truth)
    kind = options.cityscapes_labels or _kind(truth, found)
    splits = {split: _samples(paths, truth, split, kind) for split, paths in found.items() if paths}
    origin = {"cityscapes_root": root, "cityscapes_ground_truth": options.cityscapes_ground_truth}
    return Listing(splits, {**origin, "cityscapes_labels": kind}, _classes(kind))


def _classes(kind: str) -> ClassSet:
    if kind == _TRAIN_IDS:
        return CITYSCAPES
    return dataclasses.replace(CITYSCAPES, mask_values=CITYSCAPES_LABEL_IDS, ignored_values=_VOID)


def _images(folder: str) -> list:
    """Returns the paths of a split's images, sorted by city and name."""
    return [
        os.path.join(folder, name)
        for name in archives.walk(folder)
        if pairs.stem(name).endswith(_IMAGE_END)
        and os.path.splitext(name)[1] in pairs.IMAGE_EXTENSIONS
    ]


def _name(image: str) -> str:
    return pairs.stem(image)[: -len(_IMAGE_END)]


def _mask(truth: str, split: str, image: str, kind: str) -> str:
    city = os.path.basename(os.path.dirname(image))
    name = f"{_name(image)}_{os.path.basename(truth)}_{kind}.png"
    return os.path.join(truth, split, city, name)


def _kind(truth: str, found: dict) -> str:
    """Returns labelTrainIds where every image has them, else labelIds."""
    masks = [
        _mask(truth, split, image, _TRAIN_IDS)
        for split, images in found.items()
        if split != pairs.UNLABELLED_SPLIT
        for image in images
    ]
    return _TRAIN_IDS if all(map(archives.is_file, masks)) else _LABEL_IDS


def _samples(images: list, truth: str, split: str, kind: str) -> list:
    if split == pairs.UNLABELLED_SPLIT:
        return [Sample(_name(image), image, None) for image in images]
    samples = [Sample(_name(image), image, _mask(truth, split, image, kind)) for image in images]
    missing = [sample.mask for sample in samples if not archives.is_file(sample.mask)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(samples)} images of split {split} have no mask; the first is "
            f"{missing[0]}."
        )
    pairs.check_names(samples, split)
    return samples


VARIANTS = {
    "cityscapes": Format(
        find=find,
        flags=("cityscapes_root", "cityscapes_labels", "cityscapes_ground_truth"),
        num_shards=10,
    )
}
