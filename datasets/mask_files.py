"""Reads masks of any kind, checks every pixel, and gives 8-bit grey PNG files of class numbers."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from datasets import image_files
from datasets.class_table import ClassTable

# Where a PNG file says of what kind it is: bits per channel, then grey, colours or palette.
_KIND = slice(24, 26)
_GREY_8 = b"\x08\x00"
_PALETTE_8 = b"\x08\x03"
_SHOWN_VALUES = 10


class MaskReader:
    """Reads masks and checks that every pixel is of a class, or ignored."""

    def __init__(self, classes: ClassTable, ignore_label: int):
        """Takes the classes that masks may hold.

        Args:
          classes: Its colours, where it has some, also translate masks of colours.
          ignore_label: The value of pixels that never count.
        """
        self._classes = classes
        self._ignore_label = ignore_label
        self._allowed = np.zeros(256, bool)
        self._allowed[: len(classes.names)] = True
        self._allowed[ignore_label] = True
        self._labels_of_colors = None if classes.colors is None else self._color_table()

    def _color_table(self) -> np.ndarray:
        """Returns the label of each 24-bit colour, -1 where it has none: int16 [2 ** 24]."""
        table = np.full(1 << 24, -1, np.int16)
        if self._classes.ignore_color is not None:
            table[_packed(np.array(self._classes.ignore_color))] = self._ignore_label
        for label, color in enumerate(self._classes.colors):
            table[_packed(np.array(color))] = label
        return table

    def read(self, path: str) -> tuple[bytes, tuple[int, int], np.ndarray]:
        """Reads one mask.

        Returns:
          The content of an 8-bit grey PNG file, the file's own bytes if it is one; height and
          width; the number of pixels of each value, int64 [256].

        Raises:
          BadFileError: If the file cannot be used; names the values that are outside the classes.
        """
        content = image_files.read(path)
        mask = image_files.open_image(path, content)
        if mask.format != "PNG":
            raise image_files.BadFileError(
                f"{path} is a {mask.format} file; masks must be PNG files"
            )
        image_files.check_png(path, content)
        try:
            mask.load()
        except Exception as error:
            raise image_files.BadFileError(f"{path} is damaged: {error}") from error
        kind = content[_KIND]
        if kind in (_GREY_8, _PALETTE_8):
            # Of a palette image these are the indices, never the colours.
            counts = np.array(mask.histogram(), np.int64)
            content = content if kind == _GREY_8 else _without_palette(content)
        else:
            labels = self._labels(path, mask, content[24])
            counts = np.bincount(labels.ravel(), minlength=256)
            content = _encode(labels)
        self._check_values(path, counts)
        return content, (mask.height, mask.width), counts

    def _labels(self, path: str, mask: Image.Image, bits: int) -> np.ndarray:
        """Returns the class numbers of a mask that is not of 8 bits, uint8 [h, w]."""
        if mask.mode in ("RGB", "RGBA"):
            return self._labels_of(path, np.asarray(mask)[..., :3])
        if mask.mode in ("P", "1"):
            return np.asarray(mask, np.uint8)
        if mask.mode == "L":
            # Pillow spreads 2- and 4-bit grey over 0..255.
            return np.asarray(mask) // np.uint8(255 // (2**bits - 1))
        if mask.mode.startswith("I"):
            labels = np.asarray(mask)
            if labels.max() > 255:
                raise image_files.BadFileError(
                    f"{path} is a 16-bit mask with values up to {labels.max()}; class numbers are "
                    "0 to 255"
                )
            return labels.astype(np.uint8)
        raise image_files.BadFileError(
            f"{path} is a mask of mode {mask.mode}; save it as 8-bit grey PNG"
        )

    def _labels_of(self, path: str, colors: np.ndarray) -> np.ndarray:
        if self._labels_of_colors is None:
            raise image_files.BadFileError(
                f"{path} is a mask of RGB colours, not class numbers; pass a --class_table with "
                "the colour of each class, or save class numbers as 8-bit grey PNG"
            )
        packed = _packed(colors)
        labels = self._labels_of_colors[packed]
        if labels.min() < 0:
            unknown = np.unique(packed[labels < 0])
            shown = ", ".join(
                f"({value >> 16},{value >> 8 & 255},{value & 255})"
                for value in unknown[:_SHOWN_VALUES]
            )
            raise image_files.BadFileError(
                f"{path} holds {len(unknown)} colours that are not in the class table: {shown}"
            )
        return labels.astype(np.uint8)

    def _check_values(self, path: str, counts: np.ndarray):
        wrong = np.flatnonzero((counts > 0) & ~self._allowed)
        if wrong.size:
            shown = ", ".join(str(value) for value in wrong[:_SHOWN_VALUES])
            number = len(self._classes.names)
            raise image_files.BadFileError(
                f"{path} holds {shown}{', ...' if wrong.size > _SHOWN_VALUES else ''}, but there "
                f"are {number} classes (0 to {number - 1}) and ignore label {self._ignore_label}"
            )


def _packed(colors: np.ndarray) -> np.ndarray:
    """Returns red, green, blue [..., 3] as one 24-bit number each."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _without_palette(content: bytes) -> bytes:
    """Returns a PNG file with 8-bit palette indices as a grey one, its compressed pixels untouched.

    Both kinds store the same bytes; only the header says what they mean.
    """
    parts = [content[:8]]
    position = 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        data = content[position + 8 : position + 8 + length]
        if name == b"IHDR":
            data = data[:8] + _GREY_8 + data[10:]
        if name in (b"IHDR", b"IDAT", b"IEND"):
            checksum = zlib.crc32(name + data).to_bytes(4, "big")
            parts += [length.to_bytes(4, "big"), name, data, checksum]
        position += length + 12
    return b"".join(parts)


def _encode(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "PNG")
    return buffer.getvalue()
