"""Reads image and mask files, refuses what would be learned wrongly, and keeps good bytes as is."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image

from datasets.class_table import ClassTable

_ORIENTATION = 0x0112
_JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_SHOWN_VALUES = 10


class BadFileError(Exception):
    """A file cannot be converted; the message says why, and begins with its path."""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The content of an image file.

    Attributes:
      content: Its bytes, a JPEG or PNG file.
      format: "jpeg" or "png".
      height: Rows.
      width: Columns.
    """

    content: bytes
    format: str
    height: int
    width: int


def read_image(path: str) -> ImageFile:
    """Reads an image; its pixels are not decoded, its structure is checked.

    Raises:
      BadFileError: If it is missing, truncated, no JPEG or PNG file, or of a kind that a reader
        would decode to other colours or another orientation than the annotator saw.
    """
    content = _read(path)
    image = _open(path, content)
    if image.format not in ("JPEG", "PNG"):
        raise BadFileError(f"{path} is a {image.format} file; save it as JPEG or PNG")
    if image.format == "JPEG":
        _check_jpeg(path, content, image)
    else:
        _check_png(path, content)
    if image.mode == "CMYK" or image.mode.startswith("I"):
        kind = "a CMYK" if image.mode == "CMYK" else "a 16-bit"
        raise BadFileError(f"{path} is {kind} image; save it as 8-bit RGB")
    return ImageFile(content, image.format.lower(), image.height, image.width)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadFileError(f"{path} is empty")
    return content


def _open(path: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    # Pillow raises many kinds of errors for damaged files (OSError, SyntaxError, ValueError...).
    except Exception as error:
        raise BadFileError(f"{path} is no image that can be read") from error


def _check_jpeg(path: str, content: bytes, image: Image.Image):
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation != 1:
        raise BadFileError(
            f"{path} is shown turned (EXIF orientation {orientation}), but decoders ignore that; "
            "save it and its mask upright"
        )
    # The end marker cannot occur inside of the compressed pixels, but in a thumbnail before them.
    if content.rfind(_JPEG_END) < _start_of_scan(content):
        raise BadFileError(f"{path} is truncated")


def _start_of_scan(content: bytes) -> int:
    """Returns where a JPEG file's compressed pixels begin; its length if they are missing."""
    position = 2
    while position + 4 <= len(content):
        marker = content[position + 1]
        if content[position] != 0xFF:
            break
        if marker == 0xFF:
            # A fill byte.
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xDA:
            return position
    return len(content)


def _check_png(path: str, content: bytes):
    if _PNG_END not in content[-64:]:
        raise BadFileError(f"{path} is truncated")
    try:
        # Compares the checksum of every chunk.
        Image.open(io.BytesIO(content)).verify()
    except Exception as error:
        raise BadFileError(f"{path} is damaged: {error}") from error


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
        content = _read(path)
        mask = _open(path, content)
        if mask.format != "PNG":
            raise BadFileError(f"{path} is a {mask.format} file; masks must be PNG files")
        _check_png(path, content)
        try:
            mask.load()
        except Exception as error:
            raise BadFileError(f"{path} is damaged: {error}") from error
        labels = self._labels(path, mask, _grey_bits(content))
        counts = np.bincount(labels.ravel(), minlength=256)
        self._check_values(path, counts)
        # Bytes 24 and 25 of a PNG file: bits per channel and kind of colour, here 8-bit grey.
        if content[24:26] != b"\x08\x00":
            content = _encode(labels)
        return content, labels.shape, counts

    def _labels(self, path: str, mask: Image.Image, grey_bits: int | None) -> np.ndarray:
        """Returns the class numbers of a mask, uint8 [h, w]."""
        if mask.mode in ("RGB", "RGBA"):
            return self._labels_of(path, np.asarray(mask)[..., :3])
        if mask.mode in ("P", "1"):
            # Of a palette image this gives the indices, never the colours.
            return np.asarray(mask, np.uint8)
        if mask.mode == "L":
            # Pillow spreads 2- and 4-bit grey over 0..255.
            spread = 255 // (2**grey_bits - 1) if grey_bits in (2, 4) else 1
            return np.asarray(mask) // np.uint8(spread)
        if mask.mode.startswith("I"):
            labels = np.asarray(mask)
            if labels.max() > 255:
                raise BadFileError(
                    f"{path} is a 16-bit mask with values up to {labels.max()}; class numbers are "
                    "0 to 255"
                )
            return labels.astype(np.uint8)
        raise BadFileError(f"{path} is a mask of mode {mask.mode}; save it as 8-bit grey PNG")

    def _labels_of(self, path: str, colors: np.ndarray) -> np.ndarray:
        if self._labels_of_colors is None:
            raise BadFileError(
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
            raise BadFileError(
                f"{path} holds {len(unknown)} colours that are not in the class table: {shown}"
            )
        return labels.astype(np.uint8)

    def _check_values(self, path: str, counts: np.ndarray):
        wrong = np.flatnonzero((counts > 0) & ~self._allowed)
        if wrong.size:
            shown = ", ".join(str(value) for value in wrong[:_SHOWN_VALUES])
            number = len(self._classes.names)
            raise BadFileError(
                f"{path} holds {shown}{', ...' if wrong.size > _SHOWN_VALUES else ''}, but there "
                f"are {number} classes (0 to {number - 1}) and ignore label {self._ignore_label}"
            )


def _packed(colors: np.ndarray) -> np.ndarray:
    """Returns red, green, blue [..., 3] as one 24-bit number each."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _grey_bits(content: bytes) -> int | None:
    """Returns the bits per pixel of a grey PNG file, None of another kind."""
    return content[24] if content[25] == 0 else None


def _encode(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "PNG")
    return buffer.getvalue()
