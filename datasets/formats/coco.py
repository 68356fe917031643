"""COCO's JSON: objects (instances, stuff) drawn to one mask per image, or panoptic PNG files.

Classes are background and the categories in the order of their ids, which have gaps: 81 for COCO;
or with --coco_classes=voc the 21 of PASCAL VOC, found by name. Crowds are ignored, except where a
single object lies on them. With --task=multilabel a pixel has the classes of all objects on it, and
there is no background. Source of the format: cocodataset.org, "Data format".
"""

from __future__ import annotations

import dataclasses
import functools
import os

from absl import logging

import common
from datasets import known
from datasets.files import archives, bad_items, pairs
from datasets.files.pairs import Sample
from datasets.formats import Format, Listing, coco_file, coco_masks
from datasets.formats.coco_file import Annotations
from options.config import Config
from utils.classes import BINARY, MULTICLASS, MULTILABEL, ClassSet
from utils.errors import OptionError, UserError

_BACKGROUND = ("background", "_background_")
_KINDS = ("instances_", "stuff_", "panoptic_")
_DRAWN = {
    MULTICLASS: coco_masks.Objects,
    BINARY: coco_masks.Objects,
    MULTILABEL: coco_masks.ObjectSets,
}


def find(config: Config) -> Listing:
    """Returns the samples of each annotation file; see `Format`."""
    options = config.coco
    if not options.annotations:
        raise OptionError("pass --annotations: one JSON file per split.")
    paths = _splits(options.annotations, config.conversion.splits)
    contents = {
        split: coco_file.read(
            path,
            functools.partial(_image_folder, config.pairs.image_folder, path),
            config.conversion.on_bad_item,
        )
        for split, path in paths.items()
    }
    first = next(iter(contents.values()))
    if any(content.categories != first.categories for content in contents.values()):
        raise UserError(
            "the files of --annotations have different categories; convert them separately."
        )
    panoptic = first.is_panoptic
    drawn = _DRAWN[config.conversion.task or MULTICLASS]
    _check_flags(config, drawn, panoptic)
    label_of, classes = _classes(
        first.categories, options.coco_classes, drawn.has_background, panoptic
    )

    def mask_of(image: dict, annotations: list):
        if panoptic:
            folder = config.pairs.semantic_segmentation_folder
            return coco_masks.panoptic(folder, image, annotations, label_of)
        return drawn(image, annotations, label_of, classes.count, options.overlap)

    splits = {}
    for split, content in contents.items():
        splits[split] = _samples(
            content, mask_of, options.skip_empty, config.conversion.on_bad_item
        )
        pairs.check_names(splits[split], split)
    return Listing(splits, _origin(config, panoptic), classes)


def _samples(content: Annotations, mask_of, skip_empty: bool, on_bad_item: str) -> list:
    """Returns the samples of an annotation file."""
    objects = content.of_image
    images = _with_objects(content.images, objects) if skip_empty else content.images
    samples = [
        Sample(
            pairs.stem(image["file_name"]),
            os.path.join(content.folder, image["file_name"]),
            mask_of(image, objects[image["id"]]),
        )
        for image in images
    ]
    missing = [sample for sample in samples if not archives.is_file(sample.image)]
    if missing and on_bad_item == bad_items.SKIP:
        logging.warning("%s", _missing(missing, samples, content.folder))
    elif missing:
        raise UserError(_missing(missing, samples, content.folder))
    left_out = {sample.image for sample in missing}
    return [sample for sample in samples if sample.image not in left_out]


def _missing(missing: list, samples: list, folder: str) -> str:
    return (
        f"{len(missing)} of {len(samples)} images are not in {folder}; the first is "
        f"{missing[0].image}."
    )


def _check_flags(config: Config, drawn: type, panoptic: bool):
    """Raises OptionError for flags that have no effect, or contradict the annotations."""
    if not panoptic:
        common.refuse_given(
            config.given, ["semantic_segmentation_folder"], "unless the annotations are panoptic"
        )
    if drawn is coco_masks.ObjectSets:
        if panoptic:
            raise OptionError(
                f"--task={config.conversion.task}: panoptic annotations give each pixel one "
                "segment; pass those of the instances."
            )
        common.refuse_given(
            config.given,
            ["overlap"],
            f"with --task={config.conversion.task}, where objects may overlap",
        )


def _splits(paths: tuple, only: tuple | None) -> dict:
    """Returns split -> annotation file."""
    names = only or tuple(map(_split_of, paths))
    if len(names) != len(paths) or len(set(names)) != len(names):
        raise OptionError(
            f"--annotations names {len(paths)} files, but --splits={','.join(names)} does not give "
            "each of them a split."
        )
    return dict(zip(names, paths))


def _split_of(path: str) -> str:
    """Returns train2017 of instances_train2017.json."""
    stem = pairs.stem(path)
    for kind in _KINDS:
        stem = stem[len(kind) :] if stem.startswith(kind) else stem
    return stem


def _with_objects(images: list, objects: dict) -> list:
    kept = [image for image in images if objects[image["id"]]]
    logging.warning("%d of %d images have no objects.", len(images) - len(kept), len(images))
    return kept


def _classes(categories: list, which: str, has_background: bool, panoptic: bool) -> tuple:
    """Returns category id -> label, and the classes.

    Args:
      categories: Of the annotation files.
      which: --coco_classes.
      has_background: Whether a class stands for pixels without an object, and for categories that
        are not among the classes; else the latter have the label -1.
      panoptic: Whether the annotations are panoptic.
    """
    names = {category["id"]: category["name"] for category in categories}
    if which == "voc":
        return _voc_classes(names, has_background)
    real = {id_: name for id_, name in names.items() if name not in _BACKGROUND}
    # Panoptic annotations name everything; what they do not name is ignored.
    first = int(has_background and not panoptic)
    label_of = dict.fromkeys(names, int(has_background) - 1)
    label_of.update({id_: first + place for place, id_ in enumerate(real)})
    everything = (*("background",) * first, *real.values())
    if len(set(everything)) < len(everything) or len(everything) > 255:
        raise UserError("the categories have equal names, or are more than 254.")
    task = MULTICLASS if has_background else MULTILABEL
    classes = ClassSet(everything, ignore_label=coco_masks.IGNORED, task=task, name="coco")
    return label_of, classes


def _voc_classes(names: dict, has_background: bool) -> tuple:
    """Returns category id -> label, and the classes of PASCAL VOC."""
    first = 0 if has_background else 1
    classes = known.PASCAL_VOC
    classes = dataclasses.replace(
        classes, names=classes.names[first:], colors=classes.colors[first:]
    )
    labels = {name: label for label, name in enumerate(classes.names)}
    label_of = {
        id_: labels.get(known.VOC_NAME_OF_COCO.get(name, name), int(has_background) - 1)
        for id_, name in names.items()
    }
    objects = known.PASCAL_VOC.names[1:]
    missing = [name for name in objects if labels[name] not in label_of.values()]
    if missing == list(objects):
        raise UserError("--coco_classes=voc: no category has the name of a class of VOC.")
    if missing:
        logging.warning("No category is called %s.", ", ".join(missing))
    return label_of, classes


def _image_folder(image_folder: str, path: str, images: list) -> str:
    """Returns the folder that holds an annotation file's images.

    It is --image_folder, or a folder or archive in it that is named like the split (train2017,
    train2017.zip).
    """
    split = _split_of(path)
    inside = ("", split, os.path.join(f"{split}.zip", split))
    for folder in (os.path.join(image_folder, name) for name in inside):
        if archives.is_file(os.path.join(folder, images[0]["file_name"])):
            return folder
    pairs.check_folder(image_folder, "image_folder")
    raise UserError(
        f"{images[0]['file_name']} of {path} is not in --image_folder={image_folder}, nor "
        f"in {split} or {split}.zip there."
    )


def _origin(config: Config, panoptic: bool) -> dict:
    origin = {
        "annotations": [os.path.abspath(path) for path in config.coco.annotations],
        "image_folder": config.pairs.image_folder,
        "coco_classes": config.coco.coco_classes,
    }
    if panoptic:
        folder = config.pairs.semantic_segmentation_folder
        return {**origin, "semantic_segmentation_folder": folder}
    return {**origin, "overlap": config.coco.overlap}


VARIANTS = {
    "coco": Format(
        find=find,
        flags=(
            *("annotations", "image_folder", "coco_classes", "overlap", "skip_empty"),
            "semantic_segmentation_folder",
        ),
        tasks=tuple(_DRAWN),
    )
}
