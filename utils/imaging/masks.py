"""Masks as PNG files: their values, whatever the depth, and grey files of class numbers."""

from __future__ import annotations

import io
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from utils.errors import BadImageError
from utils.imaging import images, pillow, png

try:
    # Optional: inflates masks several times faster, see docs/decisions/0015-zlib-ng-for-masks.md.
    from zlib_ng import zlib_ng as inflating
except ImportError:
    inflating = zlib


class Mask(NamedTuple):
    """The pixels of a mask file.

    Attributes:
      values: Integers [h, w]; of a mask of colours uint8 [h, w, 3].
      pixels: The number of pixels of each value, int64 [256]; None unless the file holds 8-bit
        indices.
    """

    values: np.ndarray
    pixels: np.ndarray | None = None


def decode(content: bytes, name: str) -> Mask:
    """Decodes a PNG file; of a palette image the values are its indices, never the colours.

    Args:
      content: The bytes of a file.
      name: What messages call it.

    Raises:
      BadImageError: If it is not a PNG file, damaged, or of a mode that no mask has.
    """
    rows = unfiltered_rows(content, name)
    if rows is not None:
        pixels = count(rows)
        # The first byte of each row is not a pixel.
        pixels[0] -= len(rows)
        return Mask(rows[:, 1:], pixels)
    image = _open(content, name)
    if image.mode in ("RGB", "RGBA"):
        return Mask(np.asarray(image)[..., :3])
    if content[png.KIND] in (png.GREY_8, png.PALETTE_8):
        values = np.asarray(image)
        return Mask(values, count(values))
    return Mask(_values(content, image, name))


def unfiltered_rows(content: bytes, name: str) -> np.ndarray | None:
    """Returns the rows of a PNG file of 8 bits that are stored as they are, uint8 [h, 1 + w].

    Each begins with the number of its filter, 0. Palette masks nearly always are such files, and
    need only be inflated then, which is faster than a decoder for everything. None for any other
    file, a damaged one too.

    Raises:
      BadImageError: If a file of 8 bits is truncated, or a checksum in it is wrong.
    """
    if content[:8] != png.SIGNATURE or content[png.KIND] not in (png.GREY_8, png.PALETTE_8):
        return None
    images.check_png(content, name)
    header = png.header(content)
    if header.is_interlaced:
        return None
    size = header.height * (header.width + 1)
    try:
        rows = inflating.decompressobj().decompress(png.compressed(content), size + 1)
    except inflating.error:
        return None
    if len(rows) != size:
        return None
    rows = np.frombuffer(rows, np.uint8).reshape(header.height, header.width + 1)
    return None if rows[:, 0].any() else rows


def nonzero(content: bytes, name: str) -> np.ndarray:
    """Returns which pixels of a PNG file are not 0, bool [h, w]; of colours, not black.

    Raises:
      BadImageError: If it is not a readable PNG file.
    """
    values = np.asarray(_open(content, name))
    if values.ndim == 3:
        # Without alpha: transparency is not a class.
        bands = {2: 1, 4: 3}.get(values.shape[2], values.shape[2])
        return values[..., :bands].any(axis=2)
    return values != 0


def index_png(content: bytes, name: str) -> bytes:
    """Returns the grey PNG file of a mask of indices, whatever they mean.

    Raises:
      BadImageError: If it is not a readable mask of 8 bits or less, or holds colours.
    """
    image = _open(content, name)
    if content[png.KIND] in (png.GREY_8, png.PALETTE_8):
        return grey(content)
    if image.mode in ("RGB", "RGBA") or image.mode.startswith("I"):
        raise BadImageError(f"{name} is of mode {image.mode}, not a mask of indices")
    return encode(_values(content, image, name))


def grey(content: bytes) -> bytes:
    """Returns the grey PNG file of 8-bit indices: the bytes themselves if they are one."""
    return png.without_palette(content) if content[png.KIND] == png.PALETTE_8 else content


def encode(labels: np.ndarray) -> bytes:
    """Returns a grey PNG file, its rows without filters: `png.is_plain_grey`.

    Args:
      labels: uint8 [h, w].
    """
    # Pillow filters the rows of grey images, not those of a palette.
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    image.putpalette(bytes(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return png.without_palette(buffer.getvalue())


def count(values: np.ndarray) -> np.ndarray:
    """Returns the number of pixels of each value, int64 [256].

    Masks consist of areas: counting runs takes a quarter of the time of counting pixels.

    Args:
      values: uint8, at least one, of any shape.
    """
    flat = values.ravel()
    # Where runs end. Most groups of eight pixels contain no end, which one comparison shows.
    is_end = np.zeros(-(-flat.size // 8) * 8, bool)
    np.not_equal(flat[1:], flat[:-1], out=is_end[: flat.size - 1])
    is_end[flat.size - 1] = True
    eights = is_end.view(np.uint64)
    some = np.flatnonzero(eights != 0)
    inside = np.flatnonzero(eights[some].view(bool))
    ends = some[inside // 8] * 8 + inside % 8
    lengths = ends.copy()
    lengths[0] += 1
    lengths[1:] -= ends[:-1]
    return np.bincount(flat[ends], lengths, 256).astype(np.int64)


def _open(content: bytes, name: str) -> Image.Image:
    """Returns the decoded image of a PNG file."""
    image = pillow.open_image(content, name)
    if image.format != "PNG":
        raise BadImageError(f"{name} is a {image.format} file; masks must be PNG files")
    images.check_png(content, name)
    with pillow.damage_named(name):
        image.load()
    return image


def _values(content: bytes, image: Image.Image, name: str) -> np.ndarray:
    """Returns the values of a mask of another depth than 8 bits, integers [h, w]."""
    if image.mode in ("P", "1"):
        return np.asarray(image, np.uint8)
    if image.mode == "L":
        # Pillow spreads 2- and 4-bit grey over 0..255.
        return np.asarray(image) // np.uint8(255 // (2 ** png.header(content).depth - 1))
    if image.mode.startswith("I"):
        return np.asarray(image)
    raise BadImageError(f"{name} is a mask of mode {image.mode}; save it as 8-bit grey PNG")
