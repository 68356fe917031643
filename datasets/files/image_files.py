"""Reads image files: keeps good bytes, converts some, refuses files whose colours are unknown.

Kept: JPEG and PNG files of 8 bits or less, RGB, grey or with a palette; TensorFlow decodes all of
them to the colours that viewers show. Converted to RGB PNG files, without loss: files with an EXIF
orientation, which decoders ignore, and CMYK files. Refused: 16-bit images, whose range is unknown,
and images with transparent pixels, whose background is unknown.
"""

from __future__ import annotations

import dataclasses
import io

from PIL import Image, ImageOps

from datasets.files import archives
from datasets.files.defects import BadFileError
from utils.errors import BadImageError
from utils.imaging import jpeg, pillow, png

_PNG_DEPTH = 24


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The content of an image file.

    Attributes:
      content: Its bytes, a JPEG or PNG file.
      format: "jpeg" or "png".
      height: Rows.
      width: Columns.
      change: Description of the conversion; empty where the bytes are the file's own.
    """

    content: bytes
    format: str
    height: int
    width: int
    change: str = ""


def read_image(path: str) -> ImageFile:
    """Reads an image; its pixels are decoded only where they must be, its structure is checked.

    Raises:
      BadFileError: If it is missing, truncated, not a JPEG or PNG file, or of a kind whose colours
        are unknown.
    """
    content = read(path)
    plain = jpeg.plain_header(content)
    if plain is not None:
        _check_jpeg(path, content, plain.scan)
        return ImageFile(content, "jpeg", plain.height, plain.width)
    image = open_image(path, content)
    # Cameras put several pictures into one file (MPO), of which every decoder takes the first.
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind not in ("JPEG", "PNG"):
        raise BadFileError(f"{path} is a {kind} file; save it as JPEG or PNG")
    if kind == "JPEG":
        _check_jpeg(path, content, jpeg.start_of_scan(content))
    else:
        check_png(path, content)
        _check_pixels(path, content, image)
    change = _needed_change(image)
    if change:
        return _converted(path, image, change)
    return ImageFile(content, kind.lower(), image.height, image.width)


def _check_pixels(path: str, content: bytes, image: Image.Image):
    """Raises BadFileError for PNG files whose colours are unknown."""
    if content[_PNG_DEPTH] == 16:
        raise BadFileError(
            f"{path} is a 16-bit image; scale its values to 0..255 and save it as 8-bit PNG"
        )
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        alpha = _decoded(path, image.convert, "RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise BadFileError(
                f"{path} has transparent pixels; save it as RGB on the background that it was "
                "annotated on"
            )


def _needed_change(image: Image.Image) -> str:
    if image.getexif().get(pillow.ORIENTATION, 1) not in (0, 1):
        return "turned upright (EXIF orientation)"
    return "CMYK to RGB" if image.mode == "CMYK" else ""


def _converted(path: str, image: Image.Image, change: str) -> ImageFile:
    upright = _decoded(path, lambda: ImageOps.exif_transpose(image).convert("RGB"))
    buffer = io.BytesIO()
    # The pixels only: the orientation no longer applies.
    Image.frombytes("RGB", upright.size, upright.tobytes()).save(buffer, "PNG")
    return ImageFile(buffer.getvalue(), "png", upright.height, upright.width, change)


def _decoded(path: str, decode, *arguments):
    try:
        return decode(*arguments)
    except Exception as error:
        raise BadFileError(f"{path} is damaged: {error}") from error


def read(path: str) -> bytes:
    """Returns the content of a file; raises BadFileError if it is missing or empty."""
    try:
        content = archives.read(path)
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadFileError(f"{path} is empty")
    return content


def open_image(path: str, content: bytes) -> Image.Image:
    """Returns an image whose pixels are not decoded yet; raises BadFileError if it is not one."""
    try:
        return pillow.open_image(content, path)
    except BadImageError as error:
        raise BadFileError(str(error)) from error


def check_png(path: str, content: bytes):
    """Raises BadFileError if a PNG file is truncated, or a checksum in it is wrong."""
    try:
        png.chunks(content)
    except ValueError as error:
        raise BadFileError(f"{path} {error}") from error


def _check_jpeg(path: str, content: bytes, scan: int):
    if not jpeg.is_complete(content, scan):
        raise BadFileError(f"{path} is truncated")
