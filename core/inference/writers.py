"""The files of a prediction: masks, overlays, probabilities, run lengths, and their legend.

Where each pixel has one class there is one mask per image. Where it may have several there is one
mask per class, NAME_CLASS.png: 0 and 1, with the colour of the class in its palette.

Every file is written under a temporary name and then renamed, so it is complete or absent.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import zipfile

import numpy as np
from absl import logging
from PIL import Image

from core import task as tasks
from core.inference.rle_table import RleTable
from options.prediction import MASKS, RLE, SUFFIXES
from utils import colormap, overlays
from utils.classes import ClassSet
from utils.errors import OptionError
from utils.files import check_writable, write_together

LEGEND_FILE = "legend.png"
CLASSES_FILE = "classes.json"
# Of `VisFiles`: the DeepLab family's names.
PICTURES_FOLDER = "segmentation_results"
RAW_FOLDER = "raw_segmentation_results"
_IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")
# Photos hardly get smaller with more effort, but take several times as long.
_OVERLAY_COMPRESSION = 1
_ARCHIVE_COMPRESSION = 1


class PredictionFiles:
    """Writes the results of many images to a folder; a context manager."""

    def __init__(self, folder: str, kinds, classes: ClassSet, *, plain_names: bool = False):
        """Makes the folder.

        Args:
          folder: Where to write.
          kinds: What to save, of `options.prediction.KINDS`.
          classes: Names, colours and mask values.
          plain_names: Whether a mask is called NAME.png, without its kind.

        Raises:
          OptionError: If masks cannot be written as wanted.
          UserError: If nothing can be written there.
        """
        self._folder = folder
        self._kinds = tuple(kinds)
        self._classes = classes
        self._task = tasks.of(classes)
        self._encoders = _encoders(kinds, classes, plain_names)
        self._table = RleTable(folder, classes.names) if RLE in kinds else None
        check_writable(folder, "--output_dir")

    @property
    def needs_probabilities(self) -> bool:
        """Whether probabilities are among what is saved."""
        return "prob" in self._kinds

    def paths(self, name: str) -> list:
        """Returns the files of one image, without the shared table of run lengths."""
        return [os.path.join(self._folder, name + suffix) for suffix in self._encoders]

    def existing(self, names) -> list:
        """Returns the files that would be replaced by predicting images of these names."""
        paths = [path for name in names for path in self.paths(name)]
        if self._table is not None:
            paths.append(self._table.path)
        return [path for path in paths if os.path.exists(path)]

    def is_complete(self, name: str) -> bool:
        """Whether all files of an image are there; see `open` for run lengths."""
        in_table = self._table is None or name in self._table
        return in_table and all(os.path.exists(path) for path in self.paths(name))

    def open(self, *, keep: bool):
        """Writes the legend, and begins the table of run lengths.

        Args:
          keep: Whether the rows of an earlier run stay in that table.

        Raises:
          UserError: If a file cannot be written, or the table is one of other classes.
        """
        rows = self._classes.table()
        legend = [(f"{row['mask_value']}  {row['name']}", row["color"]) for row in rows]
        contents = {
            LEGEND_FILE: encoded(overlays.legend(legend)),
            CLASSES_FILE: (json.dumps({"classes": rows}, indent=1) + "\n").encode("utf-8"),
        }
        write_together({os.path.join(self._folder, name): contents[name] for name in contents})
        if self._table is not None:
            self._table.open(keep=keep)

    def write(self, name: str, image, labels, probabilities=None):
        """Writes the files of one image.

        Args:
          name: From which the files get their names; may have folders.
          image: uint8 [h, w, 3].
          labels: Class ids [h, w], or 0 and 1 [h, w, classes].
          probabilities: [h, w, channels]; needed to save them.

        Raises:
          UserError: If a file cannot be written.
        """
        write_together(
            {
                os.path.join(self._folder, name + suffix): encode(image, labels, probabilities)
                for suffix, encode in self._encoders.items()
            }
        )
        if self._table is not None:
            self._table.add(name, self._task.class_masks(labels, self._classes.count))

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        if self._table is not None:
            self._table.close()


def _encoders(kinds, classes: ClassSet, plain_names: bool) -> dict:
    """Returns suffix -> function from image, labels and probabilities to a file's content."""
    masks = _one_mask if tasks.of(classes).is_exclusive else _mask_per_class
    found = masks([kind for kind in kinds if kind in MASKS], classes, plain_names)
    others = {
        "overlay": functools.partial(_overlay, classes.colors),
        "prob": functools.partial(_archive, tasks.of(classes).channel_names(classes)),
    }
    found.update((SUFFIXES[kind], others[kind]) for kind in kinds if kind in others)
    return found


def _one_mask(kinds, classes: ClassSet, plain_names: bool) -> dict:
    """Returns the encoders of the masks of exclusive classes."""
    palettes = {"index": None, "palette": classes.palette()}
    return {
        ".png" if plain_names else SUFFIXES[kind]: functools.partial(_mask, classes, palettes[kind])
        for kind in kinds
    }


def _mask(classes, palette, unused_image, labels, unused_probabilities) -> bytes:
    return encoded(_with_palette(classes.to_mask(labels), palette))


def _mask_per_class(kinds, classes: ClassSet, plain_names: bool) -> dict:
    """Returns the encoders of one mask per class.

    Raises:
      OptionError: If masks shall have names or values that only one mask per image can have.
    """
    flags = {"--plain_names": plain_names, "--label_ids": classes.mask_values is not None}
    for flag in flags:
        if flags[flag]:
            raise OptionError(
                f"{flag} needs one mask per image, but a pixel may have several classes here; "
                "leave it out."
            )
    return {
        f"_{stem}.png": functools.partial(_plane, label, color)
        for label, (stem, color) in enumerate(zip(file_stems(classes.names), classes.colors))
        if kinds
    }


def _plane(label, color, unused_image, labels, unused_probabilities) -> bytes:
    palette = np.zeros([256, 3], np.uint8)
    palette[1] = color
    return encoded(_with_palette(np.ascontiguousarray(labels[..., label], np.uint8), palette))


def file_stems(names) -> list:
    """Returns a part of a file name for each class, different from those of other kinds."""
    stems = [re.sub(r"[^\w-]+", "_", name) for name in names]
    taken = [os.path.splitext(suffix)[0][1:] for suffix in SUFFIXES.values()]
    return [
        f"{stem}_{index}" if [*stems, *taken].count(stem) > 1 else stem
        for index, stem in enumerate(stems)
    ]


def _overlay(colors, image, labels, unused_probabilities) -> bytes:
    picture = Image.fromarray(overlays.overlay(image, labels, colors))
    return encoded(picture, compress_level=_OVERLAY_COMPRESSION)


def _archive(names, unused_image, unused_labels, probabilities) -> bytes:
    """Returns an npz file; in half precision, which is exact to 0.0005."""
    arrays = {
        "probabilities": np.asarray(probabilities, np.float16),
        "class_names": np.array(names),
    }
    buffer = io.BytesIO()
    # As np.savez_compressed, but with the effort that is three times as fast.
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_ARCHIVE_COMPRESSION
    ) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


class VisFiles:
    """Writes images and their predictions in colours under the DeepLab family's names.

    Attributes:
      folder: Where they are written; those of an earlier checkpoint are replaced.
    """

    def __init__(self, folder: str, classes: ClassSet, *, raw: bool):
        """Makes the folder.

        Args:
          folder: Where to write.
          classes: Their colours, and their numbers in raw masks.
          raw: Whether raw masks are written.

        Raises:
          UserError: If nothing can be written there.
        """
        self.folder = folder
        self._classes = classes
        self._raw = _encoders(["index"], classes, tasks.of(classes).is_exclusive) if raw else {}
        self._owners = {}
        check_writable(folder, "--vis_logdir")

    def write(self, number: int, name: str, image, labels):
        """Writes the files of one image, all or none.

        Args:
          number: Its place in the split, from 0.
          name: Its name in the records, for the raw masks.
          image: uint8 [h, w, 3].
          labels: Class ids [h, w], or 0 and 1 [h, w, classes].

        Raises:
          UserError: If one cannot be written.
        """
        pictures = os.path.join(self.folder, PICTURES_FOLDER, f"{number:06d}")
        colors = colormap.colorize(labels, self._classes.colors)
        contents = {
            f"{pictures}_image.png": encoded(Image.fromarray(np.asarray(image))),
            f"{pictures}_prediction.png": encoded(Image.fromarray(colors)),
        }
        if self._raw:
            stem = os.path.join(self.folder, RAW_FOLDER, self._own_stem(number, name))
            contents.update(
                (stem + suffix, encode(image, labels, None)) for suffix, encode in self._raw.items()
            )
        write_together(contents)

    def _own_stem(self, number, name) -> str:
        """Returns the name of a raw mask; all but one of the records of a name are numbered."""
        stem = _stem(name)
        if self._owners.setdefault(stem, number) == number:
            return stem
        logging.warning("Several images are called %s; number %d gets its number.", stem, number)
        return f"{stem}_{number:06d}"


def _stem(name: str) -> str:
    """Returns a record's name without folders and without an image's extension."""
    name = os.path.basename(name)
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in _IMAGE_EXTENSIONS else name


def encoded(picture: Image.Image, **settings) -> bytes:
    """Returns a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **settings)
    return buffer.getvalue()


def _with_palette(mask, palette) -> Image.Image:
    picture = Image.fromarray(mask)
    if palette is not None:
        picture.putpalette(palette.ravel().tolist())
    return picture
