"""COCO's JSON: objects (instances, stuff) drawn to one mask per image, or panoptic PNG files.

Classes are background and the categories in the order of their ids, which have gaps: 81 for COCO;
or with --coco_classes=voc the 21 of PASCAL VOC, found by name. Crowds never count, unless an object
of its own lies on them. Source of the format: cocodataset.org, "Data format".
"""

from __future__ import annotations

import collections
import json
import os

from absl import logging

from datasets import known
from datasets.files import archives, pairs
from datasets.files.pairs import Sample
from datasets.formats import Format, Found, coco_masks
from options.config import Config
from utils.classes import ClassSet
from utils.errors import OptionError, UserError

_BACKGROUND = ("background", "_background_")
_KINDS = ("instances_", "stuff_", "panoptic_")


def find(config: Config) -> Found:
    """Returns the samples of each annotation file; see `Format`."""
    options = config.coco
    if not options.annotations:
        raise OptionError("pass --annotations: one JSON file per split.")
    paths = _splits(options.annotations, config.conversion.splits)
    contents = {split: _read(path) for split, path in paths.items()}
    first = next(iter(contents.values()))
    if any(content["categories"] != first["categories"] for content in contents.values()):
        raise UserError("the files of --annotations have different categories; convert them apart.")
    panoptic = _is_panoptic(first)
    if not panoptic and "semantic_segmentation_folder" in config.given:
        raise OptionError("--semantic_segmentation_folder is for panoptic annotations only.")
    label_of, classes = _classes(first["categories"], options.coco_classes, panoptic)
    splits = {}
    for split, content in contents.items():
        folder = _image_folder(config.pairs.image_folder, paths[split], content["images"])
        objects = _by_image(content["annotations"])
        images = _with_objects(content["images"], objects) if options.skip_empty else None
        samples = [
            Sample(
                pairs.stem(image["file_name"]),
                os.path.join(folder, image["file_name"]),
                _mask(image, objects[image["id"]], label_of, config, panoptic),
            )
            for image in (content["images"] if images is None else images)
        ]
        _check_images(samples, folder)
        pairs.check_names(samples, split)
        splits[split] = samples
    return Found(splits, _origin(config, panoptic), classes)


def _splits(paths: tuple, only: tuple | None) -> dict:
    """Returns split -> annotation file."""
    names = only or tuple(map(_split_of, paths))
    if len(names) != len(paths) or len(set(names)) != len(names):
        raise OptionError(
            f"--annotations names {len(paths)} files, but --splits={','.join(names)} does not give "
            "each its own split."
        )
    return dict(zip(names, paths))


def _split_of(path: str) -> str:
    """Returns train2017 of instances_train2017.json."""
    stem = pairs.stem(path)
    for kind in _KINDS:
        stem = stem[len(kind) :] if stem.startswith(kind) else stem
    return stem


def _read(path: str) -> dict:
    try:
        content = json.loads(archives.read(path))
        images, annotations = content["images"], content["annotations"]
        content["categories"] = sorted(
            ({"id": c["id"], "name": c["name"]} for c in content["categories"]),
            key=lambda category: category["id"],
        )
    except OSError as error:
        raise UserError(f"--annotations={path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--annotations={path} is no COCO annotation file ({type(error).__name__}: {error}); "
            "it must hold images, annotations and categories."
        ) from error
    known = {image["id"] for image in images}
    strange = [a for a in annotations if a["image_id"] not in known]
    if strange:
        raise UserError(
            f"--annotations={path} has {len(strange)} annotations of images that it does not list; "
            f"the first is of image_id {strange[0]['image_id']}."
        )
    return content


def _is_panoptic(content: dict) -> bool:
    return any("segments_info" in annotation for annotation in content["annotations"])


def _by_image(annotations: list) -> dict:
    found = collections.defaultdict(list)
    for annotation in annotations:
        found[annotation["image_id"]].append(annotation)
    return found


def _with_objects(images: list, objects: dict) -> list:
    kept = [image for image in images if objects[image["id"]]]
    logging.warning("%d of %d images have no objects.", len(images) - len(kept), len(images))
    return kept


def _classes(categories: list, which: str, panoptic: bool) -> tuple:
    """Returns category id -> label, and the classes."""
    names = {category["id"]: category["name"] for category in categories}
    if which == "voc":
        labels = {name: label for label, name in enumerate(known.PASCAL_VOC.names)}
        found = {
            id_: labels.get(known.VOC_NAME_OF_COCO.get(name, name), 0)
            for id_, name in names.items()
        }
        if not any(found.values()):
            raise UserError("--coco_classes=voc: no category has the name of a class of VOC.")
        missing = set(range(1, len(labels))) - set(found.values())
        if missing:
            shown = ", ".join(known.PASCAL_VOC.names[label] for label in sorted(missing))
            logging.warning("No category is called %s.", shown)
        return found, known.PASCAL_VOC
    real = {id_: name for id_, name in names.items() if name not in _BACKGROUND}
    # Panoptic annotations name everything; what they do not name never counts.
    first = 0 if panoptic else 1
    label_of = {id_: first + place for place, id_ in enumerate(real)}
    label_of.update({id_: 0 for id_ in names if id_ not in real})
    everything = tuple(real.values()) if panoptic else ("background", *real.values())
    if len(set(everything)) < len(everything) or len(everything) > 255:
        raise UserError("the categories have equal names, or are more than 254.")
    return label_of, ClassSet(everything, ignore_label=coco_masks.IGNORED, name="coco")


def _image_folder(image_folder: str, path: str, images: list) -> str:
    """Returns the folder that holds an annotation file's images.

    It is --image_folder, or in it a folder or archive called like the split (train2017,
    train2017.zip).
    """
    if not images:
        raise UserError(f"--annotations={path} lists no images.")
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


def _mask(image: dict, annotations: list, label_of: dict, config: Config, panoptic: bool):
    if panoptic:
        folder = config.pairs.semantic_segmentation_folder
        return coco_masks.panoptic(folder, image, annotations, label_of)
    return coco_masks.Objects(image, annotations, label_of, config.coco.overlap)


def _check_images(samples: list, folder: str):
    missing = [sample.image for sample in samples if not archives.is_file(sample.image)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(samples)} images are not in {folder}; the first is "
            f"{missing[0]}."
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
    )
}
