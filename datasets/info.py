"""What is known about a data set: its classes, its ignore label, its splits.

The converter writes `dataset.json` beside the records, so that no class count lives in code.
Records of other DeepLab code have none: for them a table of known sets serves, or the user's word.
"""

from __future__ import annotations

import dataclasses
import json
import os

from datasets import class_names, raw_records
from datasets.records import shards
from options.data import DataOptions
from utils import colormap, variants
from utils.classes import ClassSet
from utils.errors import OptionError, UserError
from utils.files import write_text

DATASET_FILE = "dataset.json"


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A data set without its records.

    Attributes:
      name: What reports call it.
      num_classes: Labels are 0 to num_classes - 1, or ignore_label.
      class_names: One name per class.
      colors: One (red, green, blue), 0..255, per class.
      ignore_label: Label of pixels that never count; it may be one of the classes, which then
        never counts.
      splits: Split -> number of images, None where it is not known.
    """

    name: str
    num_classes: int
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ignore_label: int
    splits: dict

    @property
    def classes(self) -> ClassSet:
        """The classes."""
        return ClassSet(self.class_names, self.colors, self.ignore_label, name=self.name)


def default_colors(num_classes: int) -> tuple:
    """Returns PASCAL's colours, one (red, green, blue) per class."""
    return _as_colors(colormap.pascal(num_classes))


def default_names(num_classes: int) -> tuple:
    """Returns class_0, class_1 and so on."""
    return tuple(f"class_{label}" for label in range(num_classes))


def _as_colors(array) -> tuple:
    return tuple(tuple(int(value) for value in color) for color in array)


# The data sets that the DeepLab family names, for records that come without a dataset.json.
KNOWN = {
    "pascal_voc_seg": DatasetInfo(
        name="pascal_voc_seg",
        num_classes=21,
        class_names=class_names.PASCAL_VOC,
        colors=default_colors(21),
        ignore_label=255,
        splits={"train": 1464, "trainaug": 10582, "trainval": 2913, "val": 1449},
    ),
    "cityscapes": DatasetInfo(
        name="cityscapes",
        num_classes=19,
        class_names=class_names.CITYSCAPES,
        colors=_as_colors(colormap.cityscapes()[:19]),
        ignore_label=255,
        splits={
            "train_fine": 2975,
            "train_coarse": 22973,
            "trainval_fine": 3475,
            "trainval_coarse": 23473,
            "val_fine": 500,
            "test_fine": 1525,
        },
    ),
    "ade20k": DatasetInfo(
        name="ade20k",
        num_classes=151,
        class_names=("other", *class_names.ADE20K),
        colors=_as_colors(colormap.ade20k()),
        ignore_label=0,
        splits={"train": 20210, "val": 2000},
    ),
    # COCO's images with the 20 classes of PASCAL VOC.
    "coco2017": DatasetInfo(
        name="coco2017",
        num_classes=21,
        class_names=class_names.PASCAL_VOC,
        colors=default_colors(21),
        ignore_label=255,
        splits={"coco2017_train": 117266, "coco2017_trainval": 122218, "coco2017_val": 4952},
    ),
}


def load(options: DataOptions, given: frozenset = frozenset()) -> DatasetInfo:
    """Returns what is known about the records of `options.dataset_dir`.

    `dataset.json` decides; without it --num_classes with --ignore_label, else --dataset.

    Args:
      options: Where the records are, and what they hold if nothing beside them says so.
      given: Names of the options that were given on purpose; these must not contradict
        `dataset.json`.

    Raises:
      OptionError: If an option contradicts `dataset.json`, or is needed and missing.
      UserError: If the folder has no records, or its `dataset.json` cannot be used.
    """
    folder = _dataset_dir(options)
    path = os.path.join(folder, DATASET_FILE)
    if os.path.exists(path):
        info = read(path)
        _check_given(options, given, info, path)
        return info
    found = shards.splits(folder)
    if not found:
        raise UserError(
            f"--dataset_dir={folder} holds no records (files like train-00000-of-00004.tfrecord); "
            "write them with python -m datasets.convert."
        )
    return _info_without_file(options, given, found)


def _dataset_dir(options: DataOptions) -> str:
    folder = raw_records.folder(options)
    if folder is None:
        raise OptionError("--dataset_dir is missing; pass the folder of the TFRecord shards.")
    if not os.path.isdir(folder):
        raise UserError(
            f"--dataset_dir={folder} is no folder; pass the folder of the TFRecord shards, which "
            "python -m datasets.convert writes."
        )
    shards.check_complete(folder)
    return folder


def _check_given(options: DataOptions, given: frozenset, info: DatasetInfo, path: str):
    stated = {"num_classes": options.num_classes, "ignore_label": options.ignore_label}
    for name, value in stated.items():
        if name in given and value is not None and value != getattr(info, name):
            raise OptionError(
                f"--{name}={value} contradicts {path}, which says {getattr(info, name)}; leave the "
                "flag out, or convert the data again."
            )
    if "dataset" in given and options.dataset != info.name:
        known = KNOWN.get(options.dataset)
        # Records of a known set have that set's classes, whatever they were called.
        if known and _classes(known) != _classes(info):
            raise OptionError(
                f"--dataset={options.dataset} has {known.num_classes} classes and ignore label "
                f"{known.ignore_label}, but {path} says {info.num_classes} and "
                f"{info.ignore_label}; leave the flag out."
            )


def _classes(info: DatasetInfo) -> tuple:
    return info.num_classes, info.ignore_label


def _info_without_file(options: DataOptions, given: frozenset, found: tuple) -> DatasetInfo:
    if options.num_classes is None and options.ignore_label is None:
        known = variants.lookup(KNOWN, options.dataset, "data set without a dataset.json")
        return dataclasses.replace(
            known, splits={split: known.splits.get(split) for split in found}
        )
    if options.num_classes is None or options.ignore_label is None:
        raise OptionError(
            f"{options.dataset_dir} has no {DATASET_FILE}: pass --num_classes and --ignore_label "
            "together, or neither and --dataset."
        )
    folder_name = os.path.basename(os.path.abspath(options.dataset_dir))
    return DatasetInfo(
        name=options.dataset if "dataset" in given else folder_name,
        num_classes=options.num_classes,
        class_names=default_names(options.num_classes),
        colors=default_colors(options.num_classes),
        ignore_label=options.ignore_label,
        splits=dict.fromkeys(found),
    )


def save(folder: str, info: DatasetInfo, origins: dict | None = None):
    """Writes `dataset.json`, complete or not at all.

    Args:
      folder: Where the records are.
      info: What is known about them.
      origins: Split -> plain dict that says what it was converted from.
    """
    content = {
        "name": info.name,
        "num_classes": info.num_classes,
        "class_names": list(info.class_names),
        "colors": [list(color) for color in info.colors],
        "ignore_label": info.ignore_label,
        "splits": {
            split: {"num_images": number, **_origin(origins, split)}
            for split, number in info.splits.items()
        },
    }
    write_text(os.path.join(folder, DATASET_FILE), json.dumps(content, indent=1) + "\n")


def _origin(origins: dict | None, split: str) -> dict:
    origin = (origins or {}).get(split)
    return {} if origin is None else {"converted_from": origin}


def read(path: str) -> DatasetInfo:
    """Returns the content of a `dataset.json`.

    Raises:
      UserError: If it is not readable, or does not say what it must.
    """
    content = _read_json(path)
    try:
        num_classes = int(content["num_classes"])
        info = DatasetInfo(
            name=str(content.get("name") or os.path.basename(os.path.dirname(path))),
            num_classes=num_classes,
            class_names=tuple(content.get("class_names") or default_names(num_classes)),
            colors=_as_colors(content.get("colors") or default_colors(num_classes)),
            ignore_label=int(content["ignore_label"]),
            splits={split: value.get("num_images") for split, value in content["splits"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} does not describe a data set ({type(error).__name__}: {error}); it must hold "
            "num_classes, ignore_label and splits."
        ) from error
    for name in ("class_names", "colors"):
        if len(getattr(info, name)) != num_classes:
            raise UserError(
                f"{path} has {len(getattr(info, name))} {name}, but num_classes is {num_classes}."
            )
    return info


def read_origins(path: str) -> dict:
    """Returns split -> what it was converted from (None if unknown), as `save` was given it."""
    splits = _read_json(path).get("splits", {})
    return {split: value.get("converted_from") for split, value in splits.items()}


def _read_json(path: str):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not readable JSON ({error}); convert the data again."
        ) from error
