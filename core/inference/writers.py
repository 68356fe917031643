"""The files of a prediction: masks, overlays, probabilities, run lengths, and their legend.

Every file is written under a temporary name and then renamed: one that is there is complete.
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile

import numpy as np
from PIL import Image

from options.prediction import RLE, SUFFIXES
from utils import overlays
from utils.classes import ClassSet
from utils.errors import UserError
from utils.files import check_writable, write_errors_explained, write_together
from utils.imaging import run_lengths

RLE_FILE = "rle.csv"
LEGEND_FILE = "legend.png"
CLASSES_FILE = "classes.json"
_RLE_COLUMNS = ("id", "height", "width")
# Photos hardly get smaller with more effort, but take several times as long.
_OVERLAY_COMPRESSION = 1
_ARCHIVE_COMPRESSION = 1


class PredictionFiles:
    """Writes the results of many images to a folder; a context manager."""

    def __init__(self, folder: str, kinds, classes: ClassSet, *, plain_names: bool = False):
        """Makes the folder.

        Args:
          folder: Where to write.
          kinds: What to save, of `kinds.KINDS`.
          classes: Names, colours and mask values.
          plain_names: Whether a mask is called NAME.png, without what kind it is.

        Raises:
          UserError: If nothing can be written there.
        """
        self._folder = folder
        self._kinds = tuple(kinds)
        self._classes = classes
        self._palette = classes.palette()
        self._suffixes = {kind: SUFFIXES[kind] for kind in kinds if kind != RLE}
        if plain_names:
            self._suffixes.update(dict.fromkeys(set(kinds) & {"index", "palette"}, ".png"))
        self._rows = None
        self._listed = set()
        check_writable(folder, "--output_dir")

    @property
    def needs_probabilities(self) -> bool:
        """Whether probabilities are among what is saved."""
        return "prob" in self._kinds

    def paths(self, name: str) -> list:
        """Returns the files of one image, the shared one of run lengths left out."""
        return [os.path.join(self._folder, name + suffix) for suffix in self._suffixes.values()]

    def existing(self, names) -> list:
        """Returns the files that would be replaced by predicting images of these names."""
        paths = [path for name in names for path in self.paths(name)]
        if RLE in self._kinds:
            paths.append(os.path.join(self._folder, RLE_FILE))
        return [path for path in paths if os.path.exists(path)]

    def is_complete(self, name: str) -> bool:
        """Whether all files of an image are there; see `open` for run lengths."""
        return all(os.path.exists(path) for path in self.paths(name)) and (
            RLE not in self._kinds or name in self._listed
        )

    def open(self, *, keep: bool):
        """Writes the legend, and begins the table of run lengths.

        Args:
          keep: Whether the rows of an earlier run stay in that table.

        Raises:
          UserError: If a file cannot be written, or the table is one of other classes.
        """
        legend = [
            (f"{row['mask_value']}  {row['name']}", row["color"]) for row in self._classes.table()
        ]
        self._write(LEGEND_FILE, encoded(overlays.legend(legend)))
        table = json.dumps({"classes": self._classes.table()}, indent=1) + "\n"
        self._write(CLASSES_FILE, table.encode("utf-8"))
        if RLE in self._kinds:
            self._open_rows(keep)

    def _open_rows(self, keep):
        path = os.path.join(self._folder, RLE_FILE)
        header = [*_RLE_COLUMNS, *self._classes.names]
        rows = _read_rows(path, header) if keep and os.path.exists(path) else []
        self._listed = {row[0] for row in rows}
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
        self._write(RLE_FILE, buffer.getvalue().encode("utf-8"))
        with write_errors_explained(path):
            # Open until `close`, since every photo appends its row.
            self._rows = open(path, "a", encoding="utf-8", newline="")  # noqa: SIM115

    def write(self, name: str, image, labels, probabilities=None):
        """Writes the files of one image.

        Args:
          name: From which the files get their names; may have folders.
          image: uint8 [h, w, 3].
          labels: Class ids [h, w].
          probabilities: [h, w, classes]; needed to save them.

        Raises:
          UserError: If a file cannot be written.
        """
        mask = self._classes.to_mask(labels)
        make = {
            "index": lambda: encoded(Image.fromarray(mask)),
            "palette": lambda: encoded(_with_palette(mask, self._palette)),
            "overlay": lambda: encoded(
                Image.fromarray(overlays.overlay(image, labels, self._classes.colors)),
                compress_level=_OVERLAY_COMPRESSION,
            ),
            "prob": lambda: _archive(probabilities, self._classes.names),
        }
        write_together(
            {
                os.path.join(self._folder, name + suffix): make[kind]()
                for kind, suffix in self._suffixes.items()
            }
        )
        if RLE in self._kinds:
            self._write_row(name, labels)

    def _write_row(self, name, labels):
        if name in self._listed:
            # Kept from an earlier run that saved less.
            return
        lengths = [run_lengths.encode(labels == label) for label in range(self._classes.count)]
        row = [name.replace(os.sep, "/"), *labels.shape, *lengths]
        with write_errors_explained(os.path.join(self._folder, RLE_FILE)):
            csv.writer(self._rows, lineterminator="\n").writerow(row)
            self._rows.flush()

    def _write(self, name, content: bytes):
        write_together({os.path.join(self._folder, name): content})

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        if self._rows is not None:
            self._rows.close()


def read_probabilities(path: str) -> np.ndarray:
    """Returns the probabilities of a NAME_prob.npz file, float32 [h, w, classes]."""
    with np.load(path) as archive:
        return archive["probabilities"].astype(np.float32)


def _read_rows(path: str, header: list) -> list:
    """Returns the complete rows of a table of run lengths.

    Raises:
      UserError: If it has other columns.
    """
    # Run lengths are long: the reader's own limit of a cell is 128 kB.
    csv.field_size_limit(2**31 - 1)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it.") from error
    if rows and rows[0] != header:
        raise UserError(
            f"{path} is of other classes ({', '.join(rows[0][:8])}, ...); pass another "
            "--output_dir, or remove it."
        )
    # The last row of a run that was killed may be cut off.
    return [row for row in rows[1:] if len(row) == len(header)]


def encoded(picture: Image.Image, **settings) -> bytes:
    """Returns a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **settings)
    return buffer.getvalue()


def _with_palette(mask, palette) -> Image.Image:
    picture = Image.fromarray(mask)
    picture.putpalette(palette.ravel().tolist())
    return picture


def _archive(probabilities, names) -> bytes:
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
