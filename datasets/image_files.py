"""Reads image files: keeps good bytes as they are, refuses what would be learned wrongly."""

from __future__ import annotations

import dataclasses
import io

from PIL import Image

_ORIENTATION = 0x0112
_JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"


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
    content = read(path)
    image = open_image(path, content)
    if image.format not in ("JPEG", "PNG"):
        raise BadFileError(f"{path} is a {image.format} file; save it as JPEG or PNG")
    if image.format == "JPEG":
        _check_jpeg(path, content, image)
    else:
        check_png(path, content)
    if image.mode == "CMYK" or image.mode.startswith("I"):
        kind = "a CMYK" if image.mode == "CMYK" else "a 16-bit"
        raise BadFileError(f"{path} is {kind} image; save it as 8-bit RGB")
    return ImageFile(content, image.format.lower(), image.height, image.width)


def read(path: str) -> bytes:
    """Returns the content of a file; raises BadFileError if it is missing or empty."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadFileError(f"{path} is empty")
    return content


def open_image(path: str, content: bytes) -> Image.Image:
    """Returns an image whose pixels are not decoded yet; raises BadFileError if it is none."""
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


def check_png(path: str, content: bytes):
    """Raises BadFileError if a PNG file is truncated, or a checksum in it is wrong."""
    if _PNG_END not in content[-64:]:
        raise BadFileError(f"{path} is truncated")
    try:
        # Compares the checksum of every chunk.
        Image.open(io.BytesIO(content)).verify()
    except Exception as error:
        raise BadFileError(f"{path} is damaged: {error}") from error
