"""Generates a small data set in VOC's layout: `python -m datasets.synthetic --output_dir=DIR`.

Scenes show textured shapes on a textured background, unevenly lit and partly occluding each other.
A class is a shape with a pattern; its colours vary nearly as much as those of all classes, so that
colour alone does not identify a class. Masks have VOC's palette and a border of 255 around each
object. The same seed gives the same scenes.
"""

from __future__ import annotations

import json
import os

import numpy as np
from PIL import Image

import common
from datasets import synthetic_scenes
from options.data_tools import SyntheticOptions
from utils import colormap, log
from utils.errors import UserError
from utils.files import replacing, write_text

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
LISTS = os.path.join("ImageSets", "Segmentation")
CLASS_TABLE = "classes.json"
# Holds the options that the folder was made with; it exists once the folder is complete.
_STAMP = "synthetic.json"

_JPEG_QUALITY = 90


def main(flag_values):
    """Reads the flags, generates the data set and prints how to convert it."""
    options = common.from_flags(SyntheticOptions, flag_values)
    generate(options)
    folder = options.output_dir
    print(
        f"{options.num_train} + {options.num_val} images are in {folder}. To convert them:\n"
        f"  python -m datasets.convert pascal_voc --image_folder={folder}/{IMAGES} "
        f"--semantic_segmentation_folder={folder}/{MASKS} --list_folder={folder}/{LISTS} "
        f"--class_table={folder}/{CLASS_TABLE} --output_dir=DIR"
    )


def generate(options: SyntheticOptions):
    """Generates the data set, complete or not at all; does nothing if it exists already.

    Raises:
      UserError: If the folder holds something else.
    """
    folder = os.path.normpath(options.output_dir)
    stamp = {"version": synthetic_scenes.VERSION, **options.to_dict(), "output_dir": None}
    if os.path.isdir(folder) and os.listdir(folder):
        _check_same(folder, stamp)
        return
    with replacing(folder, sync=False) as temporary:
        _write(temporary, options, stamp)


def _check_same(folder: str, stamp: dict):
    try:
        with open(os.path.join(folder, _STAMP), encoding="utf-8") as file:
            same = json.load(file) == stamp
    except (OSError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"--output_dir={folder} holds other files than this command would write; choose "
            "another folder, or move it away."
        )


def _write(folder: str, options: SyntheticOptions, stamp: dict):
    for name in (IMAGES, MASKS, LISTS):
        os.makedirs(os.path.join(folder, name))
    names = {
        split: [f"{split}_{number:05d}" for number in range(size)]
        for split, size in (("train", options.num_train), ("val", options.num_val))
    }
    progress = log.Progress(options.num_train + options.num_val)
    done = 0
    for offset, split in enumerate(names):
        for number, name in enumerate(names[split]):
            # Each scene has its own stream: a longer split begins with the same scenes.
            random = np.random.RandomState([options.seed, offset, number])
            scene = synthetic_scenes.draw(random, options.difficulty)
            _save(folder, name, *scene)
            done += 1
            progress.update(done)
        text = "".join(f"{name}\n" for name in names[split])
        write_text(os.path.join(folder, LISTS, f"{split}.txt"), text)
    progress.close()
    write_text(os.path.join(folder, CLASS_TABLE), json.dumps(_class_table(), indent=1))
    write_text(os.path.join(folder, _STAMP), json.dumps(stamp, indent=1))


def _save(folder: str, name: str, image: np.ndarray, mask: np.ndarray):
    path = os.path.join(folder, IMAGES, f"{name}.jpg")
    Image.fromarray(image).save(path, quality=_JPEG_QUALITY)
    picture = Image.fromarray(mask)
    picture.putpalette(colormap.pascal(256).ravel().tolist())
    picture.save(os.path.join(folder, MASKS, f"{name}.png"))


def _class_table() -> dict:
    names = synthetic_scenes.CLASS_NAMES
    return {
        "name": "synthetic",
        "ignore_label": synthetic_scenes.BORDER,
        "classes": [
            {"name": name, "color": color}
            for name, color in zip(names, colormap.pascal(len(names)).tolist())
        ],
    }


if __name__ == "__main__":
    common.run(main, SyntheticOptions)
